package backup

import (
	"context"
	"errors"
	"fmt"
)

type unchanged interface {
	Unchanged(ctx context.Context, m Meta) (bool, error)
}

// Early does what Take does but for the last step, while the live data may still be in use: the
// backup has no name, and is no snapshot, before take has found that nothing has changed. If the
// process dies first, the next Take removes it. The store is locked as by a Take
// until take or drop is called, one of them and once. The error wraps [errors.ErrUnsupported] if t has
// no method Unchanged, see [Target].
//
// Take returns the snapshot if the live data, which must no longer be in use, is still what was
// backed up. Otherwise, or if that cannot be found out, it drops the backup and makes another. Drop removes it.
func (s *Store) Early(ctx context.Context, name string, t Target) (take func(context.Context) (Snapshot, error), drop func() error, err error) {
	live, ok := t.(unchanged)
	if !ok {
		return nil, nil, wrap("take", "", fmt.Errorf("%w: it takes as long to compare this kind of target as to back it up", errors.ErrUnsupported))
	}
	k, err := s.begin(ctx, name, t)
	if err != nil {
		return nil, nil, wrap("take", k.snap.ID, err)
	}
	drop = func() error { return wrap("drop", k.snap.ID, k.drop()) }
	take = func(ctx context.Context) (Snapshot, error) {
		if same, err := live.Unchanged(ctx, k.snap.Meta); err == nil && same {
			return k.snap, wrap("take", k.snap.ID, k.end())
		}
		_ = drop() // what it cannot remove, the next Take does
		return s.Take(ctx, name, t)
	}
	return take, drop, nil
}
