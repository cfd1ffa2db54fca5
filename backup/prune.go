package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// Keep says which snapshots of each target stay; whatever one of the two
// rules keeps stays. At least one rule has to be given.
type Keep struct {
	Newest  int           // this many of the newest
	Younger time.Duration // those sealed less than this long ago
}

func (k Keep) check() error {
	switch {
	case k.Newest < 0 || k.Younger < 0:
		return errors.New("what to keep is negative")
	case k == Keep{}:
		return errors.New("nothing says what to keep: set Newest or Younger")
	}
	return nil
}

// Prune removes the snapshots that neither keep nor inUse holds, and returns
// what it removed, oldest first.
//
// InUse are the IDs that an update still needs for its way back: of one that
// is pending, and of the last one that was committed (R9, R15). Nil is refused,
// because it is what a caller has who did not ask; an empty slice says that
// there are none. An ID that the store does not have is refused as well.
//
// The newest snapshot of each target always stays, and nothing older is
// removed before every byte of it was read back in this very call: where it is
// damaged, nothing at all is removed and the error wraps [ErrDamaged].
// Which snapshots are of one target is told by Meta.Target.
//
// A snapshot whose manifest cannot be read stays and is named in the error, as
// List does; where it may be the newest of a target that something is to be
// removed of, nothing is removed. Removing is renaming to a hidden name and
// then deleting: a crash leaves whole snapshots, and what the next Take, Tidy
// or Prune deletes.
//
// Prune waits for those who are making, verifying, proving or restoring a
// snapshot.
func (s *Store) Prune(ctx context.Context, keep Keep, inUse []string) ([]Snapshot, error) {
	dir, err := s.checkPrune(keep, inUse)
	if err != nil {
		return nil, err
	}
	if err := s.tidy(ctx); err != nil {
		return nil, wrap("prune", "", err)
	}
	p, err := s.choose(keep, inUse)
	if err != nil {
		return nil, err
	}
	if len(p.goes) == 0 {
		return nil, p.unread
	}
	for _, id := range p.newest {
		if err := s.Verify(ctx, id); err != nil {
			return nil, wrap("prune", id, fmt.Errorf("the newest of its target cannot be relied on, so the older ones stay: %w", err))
		}
	}
	removed, err := s.hide(ctx, dir, p)
	for _, snap := range removed {
		if err == nil {
			err = ctx.Err() // what is hidden goes the next time
		}
		if err == nil {
			err = wrap("prune", snap.ID, os.RemoveAll(filepath.Join(dir, gonePrefix+snap.ID)))
		}
	}
	if len(removed) > 0 && err == nil {
		err = wrap("prune", "", durable.SyncDir(dir))
	}
	return removed, errors.Join(err, p.unread)
}

// Prunable returns what [Store.Prune] would remove now, in the same order, and
// the errors by which it would refuse, but for one: no byte of the newest
// snapshots is read back. It writes nothing and waits for nobody.
func (s *Store) Prunable(keep Keep, inUse []string) ([]Snapshot, error) {
	if _, err := s.checkPrune(keep, inUse); err != nil {
		return nil, err
	}
	p, err := s.choose(keep, inUse)
	if err != nil {
		return nil, err
	}
	return p.goes, p.unread
}

// checkPrune refuses what cannot be meant, and returns the store's folder.
func (s *Store) checkPrune(keep Keep, inUse []string) (dir string, err error) {
	if err := keep.check(); err != nil {
		return "", wrap("prune", "", err)
	}
	if inUse == nil {
		return "", wrap("prune", "", errors.New("nothing says which snapshots an update still needs: give their IDs, or an empty slice for none"))
	}
	dir, err = s.dir()
	return dir, wrap("prune", "", err)
}

// hide takes their names from the snapshots that go: from then on they are none.
func (s *Store) hide(ctx context.Context, dir string, p pruning) (hidden []Snapshot, err error) {
	release, err := alone(ctx, dir)
	if err != nil {
		return nil, wrap("prune", "", err)
	}
	defer release()
	for _, id := range p.newest { // another program may have pruned meanwhile
		if _, err := s.get(id); err != nil {
			return nil, wrap("prune", id, err)
		}
	}
	// The newest may be that of a Take which was killed before its name was
	// safe: an older one must not go first.
	if err := durable.SyncDir(dir); err != nil {
		return nil, wrap("prune", "", err)
	}
	for _, snap := range p.goes {
		if _, err := s.get(snap.ID); errors.Is(err, ErrNotFound) {
			continue
		}
		s.tell(StageRemove, snap)
		if err := durable.Publish(filepath.Join(dir, snap.ID), filepath.Join(dir, gonePrefix+snap.ID)); err != nil {
			return hidden, wrap("prune", snap.ID, err)
		}
		hidden = append(hidden, snap)
	}
	return hidden, nil
}

// A pruning is what Prune is going to do.
type pruning struct {
	goes   []Snapshot // oldest first
	newest []string   // of each target that something is removed of
	unread error      // names the snapshots whose manifest cannot be read
}

// targetKey tells which snapshots are of one target. One that does not name
// what it backs up has the name given to Take instead: two databases of one
// kind are never taken for one.
type targetKey struct{ kind, target, name string }

func keyOf(s Snapshot) targetKey {
	if s.Meta.Target != "" {
		return targetKey{kind: s.Meta.Kind, target: s.Meta.Target}
	}
	return targetKey{kind: s.Meta.Kind, name: s.Name}
}

func (s *Store) choose(keep Keep, inUse []string) (p pruning, err error) {
	ids, err := s.ids()
	if err != nil {
		return p, wrap("prune", "", err)
	}
	for _, id := range inUse {
		if !slices.Contains(ids, id) {
			return p, wrap("prune", id, fmt.Errorf("%w, and yet it is said to be in use: nothing is removed", ErrNotFound))
		}
	}
	unread := ""
	targets := map[targetKey][]Snapshot{}
	for _, id := range ids {
		snap, err := s.get(id)
		switch {
		case errors.Is(err, ErrNotFound): // removed since
		case err != nil:
			unread, p.unread = id, errors.Join(p.unread, wrap("prune", id, err))
		default:
			targets[keyOf(snap)] = append(targets[keyOf(snap)], snap)
		}
	}
	now := s.now()
	for _, snaps := range targets {
		newest := snaps[len(snaps)-1].ID
		n := len(p.goes)
		for _, snap := range snaps[:max(0, len(snaps)-max(1, keep.Newest))] {
			if now.Sub(snap.Sealed) >= keep.Younger && !slices.Contains(inUse, snap.ID) {
				p.goes = append(p.goes, snap)
			}
		}
		if len(p.goes) == n {
			continue
		}
		if unread > newest {
			return p, errors.Join(errors.New("backup: prune: what cannot be read may be the newest of its target: nothing is removed; move it out of the store"), p.unread)
		}
		p.newest = append(p.newest, newest)
	}
	slices.SortFunc(p.goes, func(a, b Snapshot) int { return cmp.Compare(a.ID, b.ID) })
	slices.Sort(p.newest)
	return p, nil
}
