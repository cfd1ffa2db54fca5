package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/clock"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/fetch/internal/sighting"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/lock"
	"github.com/aspupdate/aspupdate/version"
)

// Fetch brings one variant of a release into the archive: it downloads the
// variant, calls the verifier and publishes the result. For a FullSetup the
// release's Setup is archived first, because that is what a rollback installs
// (R3, R10, R15); the verifier is called for both.
//
// Fetch returns an archived installer without a download if its path, size and
// time are those on the server, its hash on disk is intact, and the verifier
// accepts it again. An interrupted download is resumed, in this
// call and in a later one.
//
// An error that wraps [fetch.ErrChanged] means that the release is no longer
// what the Finder found: find it again.
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

// wanted returns a release's file, if the release has all that the variant
// needs.
func wanted(r fetch.Release, k Key) (fetch.File, error) {
	file, ok := r.File(k.Variant)
	switch {
	case !ok:
		return fetch.File{}, &fetch.Error{Op: "fetch", Subject: k.String(), Err: fmt.Errorf("%w: the release has no %s", fetch.ErrNotFound, k.Variant)}
	case !r.Has(k.Variant):
		return fetch.File{}, &fetch.Error{Op: "fetch", Subject: k.String(),
			Err: fmt.Errorf("%w: the release has no Setup, which a rollback to it would install", fetch.ErrNotFound)}
	}
	name := path.Base(names.Text(file.Path))
	return file, errors.Join(names.Check(name), checkPayload(name))
}

func (a *Archive) fetch(ctx context.Context, src fetch.Source, key Key, file fetch.File, verifier Verifier) (Item, error) {
	kept, closeIdle := fetch.Keep(src)
	defer closeIdle()
	verify := VerifierFunc(func(ctx context.Context, c Candidate) (Vouched, error) {
		closeIdle() // it may use the same server, which may allow one connection only
		return verifier.Verify(ctx, c)
	})
	want, err := currentFiles(ctx, kept, file)
	if err != nil {
		return Item{}, err
	}
	if err := checkFound(file, want); err != nil {
		return Item{}, err
	}
	if it, ok := a.reuse(ctx, src, key, file, want, verify); ok {
		a.observe(Event{Kind: EventReused, Key: it.Key, Path: it.Path, Item: it})
		return it, nil
	}
	source := fetch.Locate(src, file.Path)
	if _, err := a.see(ctx, source, file, want); err != nil { // the download counts too
		return Item{}, err
	}
	st, err := a.stage(key, source, storedParts(file, want))
	if err != nil {
		return Item{}, err
	}
	defer st.close()
	d := download{a: a, src: kept, key: key, file: file, want: want, st: st}
	parts, err := d.run(ctx)
	if errors.Is(err, fetch.ErrChanged) {
		return Item{}, errors.Join(err, st.discard()) // no later download matches it
	}
	if err != nil {
		return Item{}, err
	}
	c := Candidate{Path: st.path(), Name: path.Base(names.Text(file.Path)), Size: d.total, Source: source, Remote: file.Path}
	_, modified := measure(parts)
	if file.Parts != nil {
		c.Parts, key.SHA256 = parts, hashParts(parts)
	} else {
		key.SHA256 = parts[0].SHA256
	}
	c.Key = key
	v, err := verify.Verify(ctx, c)
	if err == nil && !v.Authenticated && d.unconfirmed != nil {
		return Item{}, d.unconfirmed // only the number of its bytes shows that it is whole
	}
	if err != nil {
		if errors.Is(err, ErrMismatch) {
			err = errors.Join(err, st.discard()) // resuming it would only fail again
		}
		return Item{}, &fetch.Error{Op: "verify", Subject: file.Path, Err: err, Next: "the file was not archived"}
	}
	if !v.Authenticated {
		if err := a.settled(ctx, source, &d); err != nil {
			return Item{}, err
		}
	}
	return a.publish(ctx, st, c, modified, v)
}

// Sightings returns the name of the file in which the archive remembers since
// when releases on servers have been as they are. A [fetch.Finder] with the same
// file does not offer what Fetch would refuse.
func (a *Archive) Sightings() string { return filepath.Join(a.Dir, ".sightings.json") }

// see remembers a sighting, and returns since when the file has been as it is.
func (a *Archive) see(ctx context.Context, source string, file fetch.File, want []remote) (time.Time, error) {
	if a.Settle < 0 {
		return time.Time{}, nil
	}
	seen := sighting.File{Key: source}
	for _, w := range want {
		seen.Size += w.Size
		if w.Time.After(seen.Time) {
			seen.Time = w.Time.UTC()
		}
	}
	seen.Listed = seen.Time
	if file.Parts != nil {
		seen.Parts = sighting.Parts(func(add func(string, int64, time.Time)) {
			for _, p := range file.Parts {
				add(p.Path, p.Size, p.Time)
			}
		})
	}
	memory := sighting.Memory{Path: a.Sightings()}
	if was := memory.Read()[source]; was.Same(seen) {
		seen.Listed = was.Listed
	}
	all, _, err := memory.See(ctx, "", []sighting.File{seen}, clock.Now(a.now))
	if err != nil {
		return time.Time{}, fmt.Errorf("remember a sighting: %w", err)
	}
	return all[0].Since, nil
}

// settled returns an error if the file, which the server has just confirmed to be
// as it was when the download began, was first seen so too short a time ago.
func (a *Archive) settled(ctx context.Context, source string, d *download) error {
	settle := cmp.Or(a.Settle, sighting.Settle)
	if settle < 0 {
		return nil
	}
	since, err := a.see(ctx, source, d.file, d.want)
	if err != nil {
		return err
	}
	until := since.Add(settle)
	left := until.Sub(clock.Now(a.now))
	switch {
	case left <= 0:
		return nil
	case left > sighting.Brief:
		return &fetch.Error{Op: "fetch", Subject: d.file.Path,
			Err:  fmt.Errorf("%w: nothing authenticates it, and it may still be uploaded: it was first seen like this %s", fetch.ErrNoRelease, since.Format(time.RFC3339)),
			Next: "run it again after " + until.Format(time.RFC3339) + "; what was downloaded is kept"}
	}
	if err := clock.Sleep(ctx, left); err != nil {
		return err
	}
	return d.checkUnchanged(ctx)
}

// checkFound returns an error if the server does not have what the Finder
// found.
func checkFound(f fetch.File, now []remote) error {
	if f.Parts == nil {
		switch {
		case now[0].Size != f.Size:
			return changed(f.Path, fmt.Errorf("%d bytes when it was found, %d bytes now", f.Size, now[0].Size))
		case f.Size == 0:
			return &fetch.Error{Op: "fetch", Subject: f.Path, Err: errEmpty, Next: "try again when the upload has ended"}
		case f.Size < 0:
			return &fetch.Error{Op: "fetch", Subject: f.Path, Err: errors.New("the server does not report the size, without which a cut would not be noticed")}
		}
		return nil
	}
	same := func(p fetch.Part, r remote) bool {
		return path.Join(f.Path, p.Path) == r.from && p.Size == r.Size && p.Time.Equal(r.Time)
	}
	if !slices.EqualFunc(f.Parts, now, same) {
		return changed(f.Path, errors.New("its files are not those that were found"))
	}
	return nil
}

var errEmpty = errors.New("the file is empty, which no installer is")

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

// reuse returns the archived item that is what the server has, if there is one.
func (a *Archive) reuse(ctx context.Context, src fetch.Source, key Key, file fetch.File, want []remote, verify Verifier) (Item, bool) {
	items, _ := a.items(filepath.Join(key.Distribution, key.Version.String()))
	for _, it := range items {
		if it.Variant != key.Variant || it.Source != fetch.Locate(src, file.Path) || !it.matches(want) || a.Verify(ctx, it) != nil || it.syncName() != nil {
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

// matches reports whether an item has the sizes and times that the server
// reports.
func (it Item) matches(want []remote) bool {
	parts := it.Parts
	if parts == nil {
		parts = []fetch.Part{{Size: it.Size, Time: it.Modified}}
	}
	return slices.EqualFunc(parts, want, func(p fetch.Part, w remote) bool {
		return p.Path == w.Path && p.Size == w.Size && !w.Time.IsZero() && p.Time.Equal(w.Time)
	})
}

func changed(name string, cause error) error {
	return &fetch.Error{Op: "fetch", Subject: name, Err: fmt.Errorf("%w: %w", fetch.ErrChanged, cause), Next: "find the release again"}
}

func (a *Archive) prepare() error {
	if a.Dir == "" {
		return errNoDir
	}
	if err := a.diskError(durable.MkdirAll(a.Dir, 0o700)); err != nil {
		return err
	}
	return a.checkOwners()
}

// lock waits for other writers, of this process and of others, and keeps them
// out until unlock. Readers need no lock: they see whole items only.
func (a *Archive) lock(ctx context.Context) (unlock func(), err error) {
	if err := a.checkOwners(); err != nil {
		return nil, err
	}
	l, err := lock.Exclusive(ctx, filepath.Join(a.Dir, ".lock"))
	if err != nil {
		return nil, fmt.Errorf("wait for another writer of the archive: %w", err)
	}
	return func() { _ = l.Unlock() }, nil
}
