package backup

import (
	"context"
	"errors"
	"fmt"
)

// An Early is a backup that was made while the live data was in use, see [Store.Early]. Either
// Take or Drop is called, once.
type Early struct {
	taking taking
	name   string
	target Target
	live   unchanged
}

type unchanged interface {
	Unchanged(ctx context.Context, m Meta) (bool, error)
}

// Early does what Take does but for the last step, while the live data may still be in use: the
// backup has no name, and is no snapshot, before [Early.Take] has found that nothing
// has changed. If the process dies first, the next Take removes it. Until then the store is locked as
// by a Take. The error wraps [errors.ErrUnsupported] if t has no method Unchanged, see [Target].
func (s *Store) Early(ctx context.Context, name string, t Target) (*Early, error) {
	live, ok := t.(unchanged)
	if !ok {
		return nil, wrap("take", "", fmt.Errorf("%w: this kind of target cannot be compared in less time than a backup takes", errors.ErrUnsupported))
	}
	k, err := s.begin(ctx, name, t)
	if err != nil {
		return nil, wrap("take", k.snap.ID, err)
	}
	return &Early{k, name, t, live}, nil
}

// Take returns the snapshot if the live data, which must no longer be in use, is still what was
// backed up. Otherwise, or if that cannot be found out, it drops the backup and makes another, as [Store.Take].
func (e *Early) Take(ctx context.Context) (Snapshot, error) {
	if same, err := e.live.Unchanged(ctx, e.taking.snap.Meta); err == nil && same {
		return e.taking.snap, wrap("take", e.taking.snap.ID, e.taking.end())
	}
	if err := e.Drop(); err != nil {
		return Snapshot{}, err
	}
	return e.taking.store.Take(ctx, e.name, e.target)
}

// Drop removes the backup.
func (e *Early) Drop() error { return wrap("drop", e.taking.snap.ID, e.taking.drop()) }
