package backup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// The store's lock is the kernel's: it is free again when its holder dies.
// Who makes or reads a snapshot holds it shared, who removes one alone.
const (
	lockFile = ".lock"
	lockPoll = 50 * time.Millisecond
)

func storeLock(dir string) *flock.Flock {
	return flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
}

// share keeps those away that remove, until release is called.
func share(ctx context.Context, dir string) (release func(), err error) {
	lock := storeLock(dir)
	if _, err := lock.TryRLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("locking the store: %w", err)
	}
	return func() { _ = lock.Close() }, nil
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
	lock := storeLock(dir)
	ok, err := lock.TryLockContext(ctx, lockPoll)
	if err == nil && !ok {
		err = errors.New("it is held")
	}
	if err != nil {
		return nil, fmt.Errorf("locking the store: %w", err)
	}
	return func() { _ = lock.Close() }, nil
}
