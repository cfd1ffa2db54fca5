package fetch

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/aspupdate/aspupdate/internal/durable"
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
// An error that wraps [ErrChanged] says that the release is no longer what
// the Finder saw: look again.
func (a Archive) Fetch(ctx context.Context, src Source, rel Release, variant version.Variant, verify Verifier) (Item, error) {
	key := Key{Distribution: rel.Distribution, Version: rel.Version, Variant: variant}
	file, err := rel.wanted(key)
	if err == nil {
		err = errors.Join(key.check(), checkVerifier(verify))
	}
	if err == nil {
		err = a.prepare()
	}
	if err != nil {
		return Item{}, wrap("fetch", key.String(), err)
	}
	if variant == version.FullSetup {
		if _, err := a.Fetch(ctx, src, rel, version.Setup, verify); err != nil {
			return Item{}, err
		}
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return Item{}, wrap("fetch", key.String(), err)
	}
	defer unlock()
	it, err := a.fetch(ctx, src, key, file, verify)
	if err != nil {
		return Item{}, wrap("fetch", key.String(), a.diskError(err))
	}
	return it, nil
}

// wanted returns the release's file, if the release is whole for the variant.
func (r Release) wanted(k Key) (File, error) {
	file, ok := r.File(k.Variant)
	switch {
	case !ok:
		return File{}, &Error{Op: "fetch", Name: k.String(), Reason: ErrNotFound, Err: fmt.Errorf("the release has no %s", k.Variant)}
	case !r.has(k.Variant):
		return File{}, &Error{Op: "fetch", Name: k.String(), Reason: ErrNotFound,
			Err: errors.New("the release has no Setup, without which it could never be installed again")}
	}
	name := path.Base(file.Path)
	return file, errors.Join(checkName(name), checkPayload(name))
}

func (a Archive) fetch(ctx context.Context, src Source, key Key, file File, verify Verifier) (Item, error) {
	base, err := stat(ctx, src, file.Path)
	if err != nil {
		return Item{}, err
	}
	if base.Size != file.Size {
		return Item{}, changed(file.Path, fmt.Errorf("found with %d bytes, has %d now", file.Size, base.Size))
	}
	if base.Size < 0 {
		return Item{}, &Error{Op: "fetch", Name: file.Path, Err: errors.New("the server does not tell its size, so that a cut could not be seen")}
	}
	if it, ok := a.reuse(ctx, src, key, file, base, verify); ok {
		observe(a.Observe, Event{Kind: EventReused, Key: it.Key, Path: it.Path, Item: it})
		return it, nil
	}
	p, err := a.stage(key)
	if err != nil {
		return Item{}, err
	}
	defer p.close()
	d := download{a: a, src: src, key: key, path: file.Path, base: base, part: p}
	sum, err := d.run(ctx)
	if errors.Is(err, ErrChanged) {
		return Item{}, errors.Join(err, p.discard()) // nothing fits it any more
	}
	if err != nil {
		return Item{}, err
	}
	key.SHA256 = sum
	c := Candidate{Key: key, Path: p.path(), Name: path.Base(file.Path), Size: base.Size, Source: locate(src, file.Path), Remote: file.Path}
	v, err := verify.Verify(ctx, c)
	if err == nil && !v.Authenticated && d.unconfirmed != nil {
		return Item{}, d.unconfirmed // nobody but the count of its bytes says that it is whole
	}
	if err != nil {
		if errors.Is(err, ErrMismatch) {
			err = errors.Join(err, p.discard()) // resuming it would only fail again
		}
		return Item{}, &Error{Op: "verify", Name: file.Path, Reason: reason(err), Err: err, Hint: "nothing was put into the archive"}
	}
	return a.publish(ctx, p, c, base.Time, v)
}

// reuse looks for what the server has in the archive.
func (a Archive) reuse(ctx context.Context, src Source, key Key, file File, base Entry, verify Verifier) (Item, bool) {
	items, _ := a.items(filepath.Join(key.Distribution, key.Version.String()))
	for _, it := range items {
		same := it.Variant == key.Variant && it.Size == base.Size && !base.Time.IsZero() && it.Modified.Equal(base.Time) &&
			it.Source == locate(src, file.Path)
		if !same || a.Verify(ctx, it) != nil {
			continue
		}
		c := Candidate{Key: it.Key, Path: it.Path, Name: filepath.Base(it.Path), Size: it.Size, Source: it.Source, Remote: file.Path}
		v, err := verify.Verify(ctx, c)
		if err != nil {
			continue // the download will show whether the server has what is wanted
		}
		if it, err = revouch(it, v); err != nil {
			continue
		}
		it.Reused = true
		return it, true
	}
	return Item{}, false
}

func changed(name string, why error) error {
	return &Error{Op: "fetch", Name: name, Reason: ErrChanged, Err: why, Hint: "look for releases again"}
}

// reason finds the sentinel that err wraps.
func reason(err error) error {
	for _, r := range []error{ErrUnreachable, ErrCredentials, ErrUnknownDistribution, ErrNotFound, ErrNothing, ErrIncomplete, ErrChanged, ErrNoSpace, ErrMismatch, ErrNotArchived, ErrUnsafeName} {
		if errors.Is(err, r) {
			return r
		}
	}
	return nil
}

// wrap makes an *Error of err unless it is one.
func wrap(op, name string, err error) error {
	if e, ok := err.(*Error); ok { //nolint:errorlint // only the outermost error counts
		return e
	}
	return &Error{Op: op, Name: name, Reason: reason(err), Err: err}
}

func (a Archive) prepare() error {
	if a.Dir == "" {
		return errors.New("the archive has no folder: set Archive.Dir")
	}
	return a.diskError(durable.MkdirAll(a.Dir, 0o700))
}

// lock keeps other writers out, of this process and of others, until unlock.
// Readers need no lock: they see whole items only.
func (a Archive) lock(ctx context.Context) (unlock func(), err error) {
	const poll = 200 * time.Millisecond
	l := flock.New(filepath.Join(a.Dir, ".lock"), flock.SetPermissions(0o600))
	if _, err := l.TryLockContext(ctx, poll); err != nil {
		return nil, fmt.Errorf("wait for another writer of the archive: %w", err)
	}
	return func() { _ = l.Close() }, nil
}
