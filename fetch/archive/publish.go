package archive

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/fetch/internal/clock"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// publish moves a verified file to its final place. It is synced before it
// gets its name, and never replaces anything.
func (a *Archive) publish(ctx context.Context, st *stage, c Candidate, modified time.Time, v Vouched) (Item, error) {
	dir := filepath.Join(a.Dir, itemDir(c.Key))
	it := Item{
		Key: c.Key, Path: filepath.Join(dir, c.Name), Size: c.Size, Parts: c.Parts, Source: c.Source, Modified: modified.UTC(),
		Archived: a.archiveTime(c.Key), Vouched: v,
	}
	if err := st.seal(manifestOf(it)); err != nil {
		return Item{}, err
	}
	there, err := a.place(ctx, st.dataDir(), dir, c.Key)
	if err != nil {
		return Item{}, err
	}
	if there != nil {
		it, err := revouch(*there, v)
		if err = errors.Join(err, st.discard()); err == nil {
			a.observe(Event{Kind: EventReused, Key: it.Key, Path: it.Path, Item: it})
		}
		return it, err
	}
	if err := st.discard(); err != nil {
		return Item{}, err
	}
	return a.readBack(c.Key)
}

// archiveTime returns the current time, or a later one if the archive has an
// item of the same version and variant from the future: a clock that was set
// back must not make an older re-release the latest.
func (a *Archive) archiveTime(k Key) time.Time {
	at := clock.Now(a.now).UTC().Truncate(time.Millisecond)
	items, _ := a.items(filepath.Join(k.Distribution, k.Version.String()))
	for _, other := range items {
		if other.Variant == k.Variant && !other.Archived.Before(at) {
			at = other.Archived.Add(time.Millisecond)
		}
	}
	return at
}

// place renames sealed data to dir. An intact item that is there already is
// returned, and the data stays; a damaged one is moved aside.
func (a *Archive) place(ctx context.Context, data, dir string, k Key) (there *Item, err error) {
	err = durable.Publish(data, dir)
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	it, err := a.verified(ctx, dir)
	if err == nil {
		err = it.syncName()
	}
	if err == nil {
		return &it, nil
	}
	if _, damaged := errors.AsType[damage](err); !damaged {
		return nil, err // the item may be intact
	}
	if err := a.moveAside(dir, k, err); err != nil {
		return nil, err
	}
	return nil, durable.Publish(data, dir)
}

// readBack returns an item that was just published, and reports it.
func (a *Archive) readBack(k Key) (Item, error) {
	items, err := a.items(filepath.Join(k.Distribution, k.Version.String()))
	for _, it := range items {
		if it.Variant != k.Variant || it.SHA256 != k.SHA256 {
			continue
		}
		a.observe(Event{Kind: EventArchived, Key: it.Key, Path: it.Path, Item: it})
		if len(it.Others) > 0 {
			a.observe(Event{Kind: eventRerelease, Key: it.Key, Path: it.Path, Item: it})
		}
		return it, nil
	}
	return Item{}, errors.Join(errors.New("what was archived cannot be read back"), err)
}

// verified returns the item in dir. If it does not have its hash, the error is a
// damage.
func (a *Archive) verified(ctx context.Context, dir string) (Item, error) {
	it, err := readManifest(dir)
	if err != nil {
		return Item{}, err
	}
	switch err := a.Verify(ctx, it); {
	case errors.Is(err, ErrMismatch), errors.Is(err, fs.ErrNotExist):
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

// syncName makes the name of an item durable: the process that published it
// may have been killed before it was.
func (it Item) syncName() error { return durable.SyncDir(filepath.Dir(filepath.Dir(it.Path))) }

// moveAside renames a damaged item, and keeps it so that people can find out
// what happened to it.
func (a *Archive) moveAside(dir string, k Key, cause error) error {
	aside := filepath.Join(filepath.Dir(dir), ".damaged-"+filepath.Base(dir)+"-"+clock.Now(a.now).UTC().Format("20060102T150405.000000000"))
	if err := durable.Publish(dir, aside); err != nil {
		return err
	}
	a.observe(Event{Kind: eventDamaged, Key: k, Path: aside, Err: cause})
	return nil
}

// revouch records that an archived item was authenticated. It never replaces
// an earlier authentication.
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
