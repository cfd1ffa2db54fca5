package fetch

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// publish moves a vouched file to its place for ever. It is synced before it
// gets its name, and the name is never one that is taken.
func (a Archive) publish(ctx context.Context, st *stage, c Candidate, modified time.Time, v Vouched) (Item, error) {
	dir := filepath.Join(a.Dir, itemDir(c.Key))
	it := Item{
		Key: c.Key, Path: filepath.Join(dir, c.Name), Size: c.Size, Parts: c.Parts, Source: c.Source, Modified: modified.UTC(),
		Archived: clock(a.Now).UTC().Truncate(time.Millisecond), Vouched: v,
	}
	if err := st.seal(manifestOf(it)); err != nil {
		return Item{}, err
	}
	err := durable.Publish(st.dataDir(), dir)
	if errors.Is(err, fs.ErrExist) {
		if it, ok := a.present(ctx, dir); ok {
			it, err := revouch(it, v)
			return it, errors.Join(err, st.discard())
		}
		if err = a.setAside(dir, c.Key); err == nil {
			err = durable.Publish(st.dataDir(), dir)
		}
	}
	if err != nil {
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
		observe(a.Observe, Event{Kind: EventArchived, Key: it.Key, Path: it.Path, Item: it})
		if len(it.Others) > 0 {
			observe(a.Observe, Event{Kind: EventRerelease, Key: it.Key, Path: it.Path, Item: it})
		}
		return it, nil
	}
	return Item{}, errors.Join(errors.New("what was archived cannot be read back"), err)
}

// present returns the item in dir if it is what it says.
func (a Archive) present(ctx context.Context, dir string) (Item, bool) {
	it, err := readManifest(dir)
	if err != nil || a.Verify(ctx, it) != nil {
		return Item{}, false
	}
	all, _ := a.items(filepath.Join(it.Distribution, it.Version.String()))
	for _, other := range all {
		if other.Key == it.Key {
			return other, true
		}
	}
	return it, true
}

// setAside makes room for a good copy where a damaged one lies, and keeps
// the damaged one for whoever wants to know what happened to it.
func (a Archive) setAside(dir string, k Key) error {
	aside := filepath.Join(filepath.Dir(dir), ".damaged-"+filepath.Base(dir)+"-"+clock(a.Now).UTC().Format("20060102T150405.000000000"))
	if err := durable.Publish(dir, aside); err != nil {
		return err
	}
	observe(a.Observe, Event{Kind: EventDamaged, Key: k, Path: aside, Err: ErrMismatch})
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
