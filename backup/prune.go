package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/progress"
)

// A Retention says which snapshots of each target to keep: those that either
// rule keeps. The zero Retention keeps all.
type Retention struct {
	Newest  int           // this many of the newest; at least one stays in any case
	Younger time.Duration // those sealed less than this long ago
}

// keeps reports whether the n-th newest snapshot of a target stays, n from 0.
func (r Retention) keeps(n int, age time.Duration) bool {
	return r == Retention{} || n < max(1, r.Newest) || age < r.Younger
}

// Prune removes the snapshots that are neither kept nor in use, and returns
// those that it removed, oldest first.
//
// InUse are the IDs or references of the snapshots that an update still needs for
// a rollback: of a pending update, and of the last one that was committed (R9,
// R15). A nil inUse is refused, because it usually means that the caller did not
// ask; pass an empty slice if there are none. An ID that the store does not have
// is refused as well.
//
// The newest snapshot of each target always stays, and nothing older is removed
// before every byte of it was read back in this call: if it is damaged, nothing
// at all is removed and the error wraps [ErrDamaged]. The newest of each target that
// was proven stays as well: it is known to be of use. Snapshots with the same
// Meta.Target are of one target.
//
// A snapshot whose manifest cannot be read stays and is named in the error, as
// by List; if it may be the newest of a target that snapshots would be removed
// of, nothing is removed. A snapshot is first renamed to a hidden name and then
// deleted: a crash leaves whole snapshots, and hidden ones that the next Take,
// Tidy or Prune deletes.
//
// Prune waits while snapshots are made, verified, proven or restored.
func (s *Store) Prune(ctx context.Context, keep Retention, inUse []string) ([]Snapshot, error) {
	p, err := s.choose(keep, inUse)
	if err != nil {
		return nil, err
	}
	if err := s.tidy(ctx); err != nil {
		return nil, wrap("prune", "", err)
	}
	if len(p.remove) == 0 {
		return nil, p.unread
	}
	for _, id := range p.newest {
		if err := s.Verify(ctx, id); err != nil {
			return nil, wrap("prune", id, fmt.Errorf("the newest snapshot of its target failed verification, so the older ones stay: %w", err))
		}
	}
	removed, err := s.hide(ctx, p)
	if err == nil && len(removed) > 0 {
		err = s.delete(ctx, removed)
	}
	return removed, errors.Join(err, p.unread)
}

// Prunable returns what [Store.Prune] would remove now, in the same order. The
// errors are those of Prune, but it does not read the newest snapshots back, and
// neither writes nor waits.
func (s *Store) Prunable(keep Retention, inUse []string) ([]Snapshot, error) {
	p, err := s.choose(keep, inUse)
	if err != nil {
		return nil, err
	}
	return p.remove, p.unread
}

// hide renames the snapshots to remove: from then on they no longer count as snapshots.
func (s *Store) hide(ctx context.Context, p pruning) (hidden []Snapshot, err error) {
	dir, err := s.dir()
	if err != nil {
		return nil, wrap("prune", "", err)
	}
	unlock, err := lockExclusive(ctx, dir)
	if err != nil {
		return nil, wrap("prune", "", err)
	}
	defer unlock()
	for _, id := range p.newest { // another program may have pruned meanwhile
		if _, err := s.get(id); err != nil {
			return nil, wrap("prune", id, err)
		}
	}
	// The newest may be of a Take that was killed before its name was durable:
	// an older one must not go first.
	if err := durable.SyncDir(dir); err != nil {
		return nil, wrap("prune", "", err)
	}
	for _, snap := range p.remove {
		if _, err := s.get(snap.ID); errors.Is(err, ErrNotFound) {
			continue
		}
		s.observe(EventRemove, snap, progress.Point{})
		if err := durable.Publish(filepath.Join(dir, snap.ID), filepath.Join(dir, removingPrefix+snap.ID)); err != nil {
			return hidden, wrap("prune", snap.ID, err)
		}
		hidden = append(hidden, snap)
	}
	return hidden, nil
}

// delete deletes hidden snapshots. What is left when ctx ends is deleted next time.
func (s *Store) delete(ctx context.Context, hidden []Snapshot) error {
	dir, err := s.dir()
	if err != nil {
		return err
	}
	for _, snap := range hidden {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := durable.RemoveAll(filepath.Join(dir, removingPrefix+snap.ID)); err != nil {
			return wrap("prune", snap.ID, err)
		}
	}
	return wrap("prune", "", durable.SyncDir(dir))
}

// A pruning is what Prune is going to do.
type pruning struct {
	remove []Snapshot // oldest first
	newest []string   // of each target that snapshots are removed of
	unread error      // names the snapshots whose manifest cannot be read
}

func (s *Store) choose(keep Retention, inUse []string) (p pruning, err error) {
	switch {
	case keep.Newest < 0 || keep.Younger < 0:
		return p, wrap("prune", "", errors.New("the retention is negative"))
	case inUse == nil:
		return p, wrap("prune", "", advise(errors.New("the snapshots that an update still needs were not given"), "pass their IDs, or an empty slice if there are none"))
	}
	ids, err := s.ids()
	if err != nil {
		return p, wrap("prune", "", err)
	}
	inUse = slices.Clone(inUse)
	for i, ref := range inUse {
		id := ID(ref)
		inUse[i] = id
		if !slices.Contains(ids, id) {
			return p, wrap("prune", id, fmt.Errorf("%w, but is said to be in use: nothing is removed", ErrNotFound))
		}
	}
	targets, newestUnread, unread := s.byTarget(ids)
	p.unread = unread
	now := s.now()
	for _, snaps := range targets { // newest first
		n := len(p.remove)
		proven := slices.IndexFunc(snaps, func(s Snapshot) bool { return !s.Proven.IsZero() })
		for i, snap := range snaps {
			if !keep.keeps(i, now.Sub(snap.Sealed)) && i != proven && !slices.Contains(inUse, snap.ID) {
				p.remove = append(p.remove, snap)
			}
		}
		if len(p.remove) == n {
			continue
		}
		if newestUnread > snaps[0].ID {
			err := advise(errors.New("an unreadable snapshot may be the newest of its target: nothing is removed"), "move it out of the store")
			return pruning{}, errors.Join(wrap("prune", newestUnread, err), unread)
		}
		p.newest = append(p.newest, snaps[0].ID)
	}
	slices.SortFunc(p.remove, func(a, b Snapshot) int { return cmp.Compare(a.ID, b.ID) })
	slices.Sort(p.newest)
	return p, nil
}

// A target identifies the target of a snapshot. If its Meta has no Target, the name
// given to Take is used, so that two databases of one kind are always two targets.
type target struct{ kind, target, name string }

// byTarget returns the snapshots of each target, newest first, and those whose
// manifest cannot be read.
func (s *Store) byTarget(ids []string) (targets map[target][]Snapshot, newestUnread string, unread error) {
	targets = map[target][]Snapshot{}
	for _, id := range slices.Backward(ids) {
		snap, err := s.get(id)
		switch {
		case errors.Is(err, ErrNotFound): // removed meanwhile
			continue
		case err != nil:
			newestUnread = max(newestUnread, id)
			unread = errors.Join(unread, wrap("prune", id, err))
			continue
		}
		of := target{kind: snap.Meta.Kind, target: snap.Meta.Target}
		if of.target == "" {
			of.name = snap.Name
		}
		targets[of] = append(targets[of], snap)
	}
	return targets, newestUnread, unread
}
