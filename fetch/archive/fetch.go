package archive

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/lock"
	"github.com/aspupdate/aspupdate/version"
)

// Fetch brings one variant of a release into the archive: downloads it, has
// it vouched for, publishes it. For a FullSetup the release's Setup is
// archived first, because that is what a rollback installs (R3, R10, R15);
// the verifier is asked for both.
//
// What is archived already, is the same on the server by path, size and
// time, still has its hash on disk and is vouched for again, is returned
// without downloading it. A broken download goes on where it stopped, in
// this call and in a later one.
//
// An error that wraps [fetch.ErrChanged] says that the release is no longer what
// the Finder saw: look again.
func (a *Archive) Fetch(ctx context.Context, src fetch.Source, rel fetch.Release, variant version.Variant, verify Verifier) (Item, error) {
	key := Key{Distribution: rel.Distribution, Version: rel.Version, Variant: variant}
	file, err := wanted(rel, key)
	if err == nil {
		err = errors.Join(key.check(), checkVerifier(verify))
	}
	if err == nil {
		err = a.prepare()
	}
	if err != nil {
		return Item{}, fetch.Wrap("fetch", key.String(), err)
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return Item{}, fetch.Wrap("fetch", key.String(), err)
	}
	defer unlock()
	if variant == version.FullSetup {
		setup := key
		setup.Variant = version.Setup
		file, err := wanted(rel, setup)
		if err == nil {
			_, err = a.fetch(ctx, src, setup, file, verify)
		}
		if err != nil {
			return Item{}, fetch.Wrap("fetch", setup.String(), a.diskError(err))
		}
	}
	it, err := a.fetch(ctx, src, key, file, verify)
	if err != nil {
		return Item{}, fetch.Wrap("fetch", key.String(), a.diskError(err))
	}
	return it, nil
}

// wanted returns the release's file, if the release is whole for the variant.
func wanted(r fetch.Release, k Key) (fetch.File, error) {
	file, ok := r.File(k.Variant)
	switch {
	case !ok:
		return fetch.File{}, &fetch.Error{Op: "fetch", Name: k.String(), Reason: fetch.ErrNotFound, Err: fmt.Errorf("the release has no %s", k.Variant)}
	case !r.Has(k.Variant):
		return fetch.File{}, &fetch.Error{Op: "fetch", Name: k.String(), Reason: fetch.ErrNotFound,
			Err: errors.New("the release has no Setup, without which it could never be installed again")}
	}
	name := path.Base(names.Text(file.Path))
	return file, errors.Join(names.Check(name), checkPayload(name))
}

func (a *Archive) fetch(ctx context.Context, src fetch.Source, key Key, file fetch.File, verifier Verifier) (Item, error) {
	kept, done := fetch.Keep(src)
	defer done()
	verify := VerifierFunc(func(ctx context.Context, c Candidate) (Vouched, error) {
		done() // it may ask the same server, which may allow one connection only
		return verifier.Verify(ctx, c)
	})
	want, err := ask(ctx, kept, file)
	if err != nil {
		return Item{}, err
	}
	if err := asFound(file, want); err != nil {
		return Item{}, err
	}
	if it, ok := a.reuse(ctx, src, key, file, want, verify); ok {
		a.observe(Event{Kind: EventReused, Key: it.Key, Path: it.Path, Item: it})
		return it, nil
	}
	source := fetch.Locate(src, file.Path)
	st, err := a.stage(key, source, storedParts(file, want))
	if err != nil {
		return Item{}, err
	}
	defer st.close()
	d := download{a: a, src: kept, key: key, file: file, want: want, st: st}
	parts, err := d.run(ctx)
	if errors.Is(err, fetch.ErrChanged) {
		return Item{}, errors.Join(err, st.discard()) // nothing fits it any more
	}
	if err != nil {
		return Item{}, err
	}
	c := Candidate{Path: st.path(), Name: path.Base(names.Text(file.Path)), Size: d.total, Source: source, Remote: file.Path}
	_, modified := whole(parts)
	if file.Parts != nil {
		c.Parts, key.SHA256 = parts, sumTree(parts)
	} else {
		key.SHA256 = parts[0].SHA256
	}
	c.Key = key
	v, err := verify.Verify(ctx, c)
	if err == nil && !v.Authenticated && d.unconfirmed != nil {
		return Item{}, d.unconfirmed // nobody but the count of its bytes says that it is whole
	}
	if err != nil {
		if errors.Is(err, fetch.ErrMismatch) {
			err = errors.Join(err, st.discard()) // resuming it would only fail again
		}
		return Item{}, &fetch.Error{Op: "verify", Name: file.Path, Reason: fetch.Reason(err), Err: err, Hint: "nothing was put into the archive"}
	}
	return a.publish(ctx, st, c, modified, v)
}

// asFound reports whether the server still has what the Finder saw.
func asFound(f fetch.File, now []remote) error {
	if f.Parts == nil {
		switch {
		case now[0].Size != f.Size:
			return changed(f.Path, fmt.Errorf("found with %d bytes, has %d now", f.Size, now[0].Size))
		case f.Size == 0:
			return &fetch.Error{Op: "fetch", Name: f.Path, Err: errors.New("it is empty, which no installer is"), Hint: "look again once the upload is done"}
		case f.Size < 0:
			return &fetch.Error{Op: "fetch", Name: f.Path, Err: errors.New("the server does not tell its size, so that a cut could not be seen")}
		}
		return nil
	}
	same := func(p fetch.Part, r remote) bool {
		return path.Join(f.Path, p.Path) == r.from && p.Size == r.Size && p.Time.Equal(r.Time)
	}
	if !slices.EqualFunc(f.Parts, now, same) {
		return changed(f.Path, errors.New("the files in it are not the ones that were found"))
	}
	return nil
}

// storedParts returns the parts as the archive names them; nil for one file.
func storedParts(f fetch.File, want []remote) []fetch.Part {
	if f.Parts == nil {
		return nil
	}
	var parts []fetch.Part
	for _, w := range want {
		parts = append(parts, w.Part)
	}
	return parts
}

// reuse looks for what the server has in the archive.
func (a *Archive) reuse(ctx context.Context, src fetch.Source, key Key, file fetch.File, want []remote, verify Verifier) (Item, bool) {
	items, _ := a.items(filepath.Join(key.Distribution, key.Version.String()))
	for _, it := range items {
		if it.Variant != key.Variant || it.Source != fetch.Locate(src, file.Path) || !it.like(want) || a.Verify(ctx, it) != nil || it.settle() != nil {
			continue
		}
		c := Candidate{Key: it.Key, Path: it.Path, Name: filepath.Base(it.Path), Size: it.Size, Parts: it.Parts, Source: it.Source, Remote: file.Path}
		v, err := verify.Verify(ctx, c)
		if err != nil {
			continue // the download will show whether the server has what is wanted
		}
		if better, err := revouch(it, v); err == nil {
			it = better
		}
		it.Reused = true
		return it, true
	}
	return Item{}, false
}

// like reports whether an item has the sizes and times that the server tells.
func (it Item) like(want []remote) bool {
	parts := it.Parts
	if parts == nil {
		parts = []fetch.Part{{Size: it.Size, Time: it.Modified}}
	}
	return slices.EqualFunc(parts, want, func(p fetch.Part, w remote) bool {
		return p.Path == w.Path && p.Size == w.Size && !w.Time.IsZero() && p.Time.Equal(w.Time)
	})
}

func changed(name string, why error) error {
	return &fetch.Error{Op: "fetch", Name: name, Reason: fetch.ErrChanged, Err: why, Hint: "look for releases again"}
}

func (a *Archive) prepare() error {
	if a.Dir == "" {
		return errNoDir
	}
	return a.diskError(durable.MkdirAll(a.Dir, 0o700))
}

// lock keeps other writers out, of this process and of others, until unlock.
// Readers need no lock: they see whole items only.
func (a *Archive) lock(ctx context.Context) (unlock func(), err error) {
	l, err := lock.Exclusive(ctx, filepath.Join(a.Dir, ".lock"))
	if err != nil {
		return nil, fmt.Errorf("wait for another writer of the archive: %w", err)
	}
	return func() { _ = l.Unlock() }, nil
}
