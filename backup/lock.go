package backup

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/aspupdate/aspupdate/internal/lock"
)

// The store's lock is the kernel's: it is free again when its holder dies.
// Who makes or reads a snapshot holds it shared, who removes one alone.
const lockFile = ".lock"

// share keeps those away that remove, until release is called.
func share(ctx context.Context, dir string) (release func(), err error) {
	l, err := lock.Shared(ctx, filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("locking the store: %w", err)
	}
	return func() { _ = l.Unlock() }, nil
}

// reading is share for those who only read: a store that cannot be locked,
// such as one on a read-only disk, can be restored from all the same.
func (s *Store) reading(ctx context.Context) (release func(), err error) {
	dir, err := s.dir()
	if err != nil {
		return nil, err
	}
	release, err = share(ctx, dir)
	if err != nil && ctx.Err() == nil {
		return func() {}, nil
	}
	return release, err
}

// alone waits until nobody makes or reads a snapshot.
func alone(ctx context.Context, dir string) (release func(), err error) {
	l, err := lock.Exclusive(ctx, filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("locking the store: %w", err)
	}
	return func() { _ = l.Unlock() }, nil
}
