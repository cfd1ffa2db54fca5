// Package lock locks files. It exists so that every lock of the library is the
// kernel's (flock, LockFileEx), which is free once its holder has ended, has the
// mode 0600, is not inherited by child processes, and is waited for in the same way.
package lock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/gofrs/flock"
)

// ErrBusy is the error of [Try] if another holder has the lock.
var ErrBusy = errors.New("the lock is held by another process")

// grace is how long a lock may outlive its holder: one that is killed while it
// starts a program leaves the lock to the program's process, which drops it as
// soon as it runs.
const grace = 500 * time.Millisecond

// The time between two tries, during the grace and after it.
const (
	pollSoon  = 25 * time.Millisecond
	pollLater = 250 * time.Millisecond
)

// A Lock is held until [Lock.Unlock] or the end of the process.
type Lock struct {
	path string
	f    *flock.Flock
}

// Exclusive locks the file at path, which it creates if necessary, and waits
// for other holders until ctx ends.
func Exclusive(ctx context.Context, path string) (*Lock, error) {
	l := open(path)
	return l.wait(ctx, l.f.TryLock)
}

// Shared is like [Exclusive] for a lock that any number of holders share.
func Shared(ctx context.Context, path string) (*Lock, error) {
	l := open(path)
	return l.wait(ctx, l.f.TryRLock)
}

// Try is like [Exclusive] and waits for half a second only. The error is
// [ErrBusy] if the lock is not free by then.
func Try(path string) (*Lock, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), grace, ErrBusy)
	defer cancel()
	return Exclusive(ctx, path)
}

// Held reports whether the lock of the file at path is held. It locks a free one
// for an instant, and does not create the file.
func Held(path string) (bool, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	l := open(path)
	free, err := l.f.TryLock()
	if err != nil || !free {
		return !free, err
	}
	return false, l.Unlock()
}

// Check fails if the locked file was removed or replaced: another process
// could then hold a lock of the same path.
func (l *Lock) Check() error {
	here, err := l.f.Stat()
	there, terr := os.Stat(l.path)
	if err = errors.Join(err, terr); err == nil && !os.SameFile(here, there) {
		err = errors.New("the lock file " + l.path + " was replaced by another")
	}
	return err
}

// Unlock releases the lock. The file stays.
func (l *Lock) Unlock() error { return l.f.Unlock() }

func open(path string) *Lock {
	return &Lock{path, flock.New(path, flock.SetPermissions(0o600), flock.SetFlag(openFlag))}
}

func (l *Lock) wait(ctx context.Context, try func() (bool, error)) (*Lock, error) {
	for start, poll := time.Now(), pollSoon; ; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if got, err := try(); err != nil {
			return nil, err
		} else if got {
			return l, nil
		}
		if time.Since(start) >= grace {
			poll = pollLater
		}
		select {
		case <-ctx.Done():
		case <-time.After(poll):
		}
	}
}
