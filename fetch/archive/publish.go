package archive

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/clock"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// publish moves a vouched file to its place for ever. It is synced before it
// gets its name, and the name is never one that is taken.
func (a *Archive) publish(ctx context.Context, st *stage, c Candidate, modified time.Time, v Vouched) (Item, error) {
	dir := filepath.Join(a.Dir, itemDir(c.Key))
	it := Item{
		Key: c.Key, Path: filepath.Join(dir, c.Name), Size: c.Size, Parts: c.Parts, Source: c.Source, Modified: modified.UTC(),
		Archived: clock.Now(a.Now).UTC().Truncate(time.Millisecond), Vouched: v,
	}
	// A clock that was set back must not make an older release the last one.
	before, _ := a.items(filepath.Join(c.Distribution, c.Version.String()))
	for _, other := range before {
		if other.Variant == it.Variant && !other.Archived.Before(it.Archived) {
			it.Archived = other.Archived.Add(time.Millisecond)
		}
	}
	if err := st.seal(manifestOf(it)); err != nil {
		return Item{}, err
	}
	err := durable.Publish(st.dataDir(), dir)
	if errors.Is(err, fs.ErrExist) {
		it, err := a.present(ctx, dir)
		if err == nil {
			err = it.settle()
		}
		if err == nil {
			it, err := revouch(it, v)
			return it, errors.Join(err, st.discard())
		}
		if _, damaged := errors.AsType[damage](err); !damaged {
			return Item{}, err // what is there is not touched for a passing error
		}
		if err := a.setAside(dir, c.Key, err); err != nil {
			return Item{}, err
		}
		if err := durable.Publish(st.dataDir(), dir); err != nil {
			return Item{}, err
		}
	} else if err != nil {
		return Item{}, err
	}
	if err := st.discard(); err != nil {
		return Item{}, err
	}
	items, err := a.items(filepath.Join(c.Distribution, c.Version.String()))
	for _, it := range items {
		if it.Variant != c.Variant || it.SHA256 != c.SHA256 {
			continue
		}
		a.observe(Event{Kind: EventArchived, Key: it.Key, Path: it.Path, Item: it})
		if len(it.Others) > 0 {
			a.observe(Event{Kind: EventRerelease, Key: it.Key, Path: it.Path, Item: it})
		}
		return it, nil
	}
	return Item{}, errors.Join(errors.New("what was archived cannot be read back"), err)
}

// present returns the item in dir. If it is not what it says, that is a damage.
func (a *Archive) present(ctx context.Context, dir string) (Item, error) {
	it, err := readManifest(dir)
	if err != nil {
		return Item{}, err
	}
	switch err := a.Verify(ctx, it); {
	case errors.Is(err, fetch.ErrMismatch), errors.Is(err, fs.ErrNotExist):
		return Item{}, damage{err}
	case err != nil:
		return Item{}, err
	}
	all, _ := a.items(filepath.Join(it.Distribution, it.Version.String()))
	for _, other := range all {
		if other.Key == it.Key {
			return other, nil
		}
	}
	return it, nil
}

// settle makes the name of an item durable: whoever published it may have
// been killed before it was.
func (it Item) settle() error { return durable.SyncDir(filepath.Dir(filepath.Dir(it.Path))) }

// setAside makes room for a good copy where a damaged one lies, and keeps
// the damaged one for whoever wants to know what happened to it.
func (a *Archive) setAside(dir string, k Key, why error) error {
	aside := filepath.Join(filepath.Dir(dir), ".damaged-"+filepath.Base(dir)+"-"+clock.Now(a.Now).UTC().Format("20060102T150405.000000000"))
	if err := durable.Publish(dir, aside); err != nil {
		return err
	}
	a.observe(Event{Kind: EventDamaged, Key: k, Path: aside, Err: why})
	return nil
}

// revouch records that an archived item was vouched for by somebody better.
// What was known once is never forgotten.
func revouch(it Item, v Vouched) (Item, error) {
	if it.Vouched.Authenticated || !v.Authenticated {
		return it, nil
	}
	it.Vouched = v
	b, err := manifestOf(it).encode()
	if err != nil {
		return it, err
	}
	return it, durable.WriteFile(filepath.Join(filepath.Dir(it.Path), manifestName), b, 0o600)
}
