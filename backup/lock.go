package backup

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/aspupdate/aspupdate/internal/lock"
)

// lockFile is locked shared by everything that makes or reads snapshots, and
// exclusively by everything that removes them.
const lockFile = ".lock"

// lockShared waits until no snapshot is being removed.
func lockShared(ctx context.Context, dir string) (unlock func(), err error) {
	return locked(lock.Shared(ctx, filepath.Join(dir, lockFile)))
}

// lockExclusive waits until no snapshot is being made or read.
func lockExclusive(ctx context.Context, dir string) (unlock func(), err error) {
	return locked(lock.Exclusive(ctx, filepath.Join(dir, lockFile)))
}

func locked(l *lock.Lock, err error) (unlock func(), _ error) {
	if err != nil {
		return nil, fmt.Errorf("cannot lock the store: %w", err)
	}
	return func() { _ = l.Unlock() }, nil
}
