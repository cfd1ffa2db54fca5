package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/clock"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/version"
)

// Retention is what [Archive.Prune] keeps besides what is in use: a version that
// is among the newest, or young. The zero value keeps everything.
type Retention struct {
	// Newest is how many versions of each distribution are kept, at least one.
	Newest int
	// Younger keeps what was archived less long ago than this.
	Younger time.Duration
}

// Prune removes the versions that neither keep nor inUse protects, the oldest
// number first, and returns the installers that it removed (R10).
//
// A version is removed or kept as a whole, with its variants, its re-releases
// and the start of a download. It is hidden by one rename before it is deleted,
// so that a reader, or the next process after a crash, sees all of a version or
// nothing of it; what a crash left hidden is deleted by the next call.
//
// inUse lists, by distribution and version (the rest of a Key does not matter),
// what must stay in any case: the version that is installed, the last one
// committed, which a rollback installs (R15), those in flight and those
// quarantined. If a version in use is not in the archive, the error is
// [ErrNotFound] and nothing is removed, because a typing error would leave the
// right one without protection: do not list what was never archived. An empty
// inUse means that nothing is in use; nil is refused, because it could be an
// omission.
//
// Versions are ordered by number, never by date. A version that cannot be read,
// or has no Setup that could be installed, is left as it is, does not count as
// one of the newest, and is part of the error; so is one that the system does
// not release, such as one with an open file on Windows. The others are removed
// all the same. The installers' bytes are not read: see [Archive.Verify].
//
// Prune waits for other writers. When ctx ends, it stops between two versions.
func (a *Archive) Prune(ctx context.Context, keep Retention, inUse []Key) ([]Item, error) {
	if err := a.checkInUse(inUse); err != nil {
		return nil, err
	}
	unlock, err := a.lock(ctx)
	if err != nil {
		return nil, fetch.Wrap("prune", a.Dir, err)
	}
	defer unlock()
	old, left, err := a.prunable(keep, inUse)
	if err != nil {
		return nil, err
	}
	errs := []error{left, a.sweepPruned()}
	var gone []Item
	for _, v := range old {
		if ctx.Err() != nil {
			return gone, errors.Join(append(errs, fetch.Wrap("prune", a.Dir, context.Cause(ctx)))...)
		}
		ok, err := a.remove(v.key)
		if ok {
			gone = append(gone, v.items...)
		}
		errs = append(errs, err)
	}
	return gone, errors.Join(errs...)
}

// Prunable returns what [Archive.Prune] would remove now, in the same order,
// and the errors with which it would refuse or leave something. It writes
// nothing and does not wait.
func (a *Archive) Prunable(keep Retention, inUse []Key) ([]Item, error) {
	if err := a.checkInUse(inUse); err != nil {
		return nil, err
	}
	old, left, err := a.prunable(keep, inUse)
	if err != nil {
		return nil, err
	}
	var items []Item
	for _, v := range old {
		items = append(items, v.items...)
	}
	return items, left
}

// checkInUse returns an error if inUse cannot be what the caller meant.
func (a *Archive) checkInUse(inUse []Key) error {
	if a.Dir == "" {
		return &fetch.Error{Op: "prune", Err: errNoDir}
	}
	if inUse == nil {
		return &fetch.Error{Op: "prune", Subject: a.Dir, Err: errors.New("no list of the versions in use"),
			Next: "list what is installed, last committed, in flight and quarantined, or pass an empty list that is not nil"}
	}
	for _, k := range inUse {
		err := names.Check(k.Distribution)
		if k.Version.IsZero() {
			err = errors.Join(err, errors.New("no version"))
		}
		if err != nil {
			return &fetch.Error{Op: "prune", Subject: inUseName(k), Err: err, Next: "list a distribution and a version that are in use"}
		}
	}
	return nil
}

func inUseName(k Key) string { return fmt.Sprintf("/%s/%s", names.Show(k.Distribution), k.Version) }

// An archivedVersion is all that is archived of one version.
type archivedVersion struct {
	key   Key // distribution and version alone
	items []Item
	whole bool // all of it can be read, and it has a Setup
}

// prunable returns the versions to remove, and in left what is left as it is
// because it cannot be read; with err, nothing may be removed at all.
func (a *Archive) prunable(keep Retention, inUse []Key) (old []archivedVersion, left, err error) {
	now, everything := clock.Now(a.now), keep.Newest <= 0 && keep.Younger <= 0
	stays := map[Key]bool{}
	for _, k := range inUse {
		stays[Key{Distribution: k.Distribution, Version: k.Version}] = true
	}
	seen := map[Key]bool{}
	var errs []error
	dists, err := a.dirs(".")
	if err != nil {
		return nil, nil, err
	}
	for _, dist := range dists {
		versions, err := a.versions(dist)
		errs = append(errs, err)
		slices.SortFunc(versions, func(x, y archivedVersion) int { return y.key.Version.Compare(x.key.Version) })
		var drop []archivedVersion
		newest := 0
		for _, v := range versions {
			seen[v.key] = true
			if !v.whole {
				continue
			}
			if newest++; everything || newest <= max(keep.Newest, 1) || stays[v.key] || v.younger(now, keep.Younger) {
				continue
			}
			drop = append(drop, v)
		}
		slices.Reverse(drop)
		old = append(old, drop...)
	}
	for _, k := range inUse {
		if !seen[Key{Distribution: k.Distribution, Version: k.Version}] {
			return nil, nil, &fetch.Error{Op: "prune", Subject: inUseName(k), Err: fmt.Errorf("%w, though listed as in use; nothing was removed", ErrNotFound),
				Next: "check its spelling; if it is right, import the version, or do not list what was never archived"}
		}
	}
	return old, errors.Join(errs...), nil
}

// versions returns what is archived of a distribution. A directory without any
// installer, such as the one of a download that broke off, is not a version.
func (a *Archive) versions(dist string) ([]archivedVersion, error) {
	var all []archivedVersion
	names, err := a.dirs(dist)
	errs := []error{err}
	for _, name := range names {
		rel := filepath.Join(dist, name)
		items, err := a.items(rel)
		errs = append(errs, err)
		v, perr := version.Parse(name)
		if perr != nil || err == nil && len(items) == 0 {
			continue // not a version
		}
		setup := slices.ContainsFunc(items, func(it Item) bool { return it.Variant == version.Setup })
		if err == nil && !setup {
			errs = append(errs, &fetch.Error{Op: "prune", Subject: rel, Err: errors.New("the version has no Setup"),
				Next: "the directory was left as it is; fetch or import the Setup"})
		}
		all = append(all, archivedVersion{Key{Distribution: dist, Version: v}, items, err == nil && setup})
	}
	return all, errors.Join(errs...)
}

// younger reports whether any installer of the version was archived less
// than d ago, or in the future by the clock.
func (v archivedVersion) younger(now time.Time, d time.Duration) bool {
	return slices.ContainsFunc(v.items, func(it Item) bool { return now.Sub(it.Archived) < max(d, 0) })
}

// A name that starts with it is hidden from readers and will be deleted.
const prunedPrefix = ".pruned-"

// remove hides a version from readers, and then deletes it. It reports whether
// the version is no longer in the archive.
func (a *Archive) remove(k Key) (bool, error) {
	dist := filepath.Join(a.Dir, k.Distribution)
	dir, hidden := filepath.Join(dist, k.Version.String()), filepath.Join(dist, prunedPrefix+k.Version.String())
	if err := durable.Publish(dir, hidden); err != nil {
		return false, &fetch.Error{Op: "prune", Subject: inUseName(k), Err: err, Next: "close what has its files open, and prune again"}
	}
	err := deleteHidden(hidden)
	a.observe(Event{Kind: EventPruned, Key: k, Path: dir})
	return true, err
}

// sweepPruned deletes what an interrupted Prune left.
func (a *Archive) sweepPruned() error {
	dists, err := a.dirs(".")
	errs := []error{err}
	for _, dist := range dists {
		entries, err := os.ReadDir(filepath.Join(a.Dir, dist))
		errs = append(errs, err)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), prunedPrefix) {
				errs = append(errs, deleteHidden(filepath.Join(a.Dir, dist, e.Name())))
			}
		}
	}
	return errors.Join(errs...)
}

func deleteHidden(path string) error {
	if err := durable.RemoveAll(path); err != nil {
		return &fetch.Error{Op: "prune", Subject: path, Err: err, Next: "it is no longer in the archive; the next Prune deletes it"}
	}
	return nil
}
