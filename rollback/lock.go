package rollback

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/internal/lock"
)

const (
	lockName   = "lock"
	holderName = "holder.json"
)

// A Lock lets one process at a time work on an installation. It is the
// kernel's (flock, LockFileEx), so that the death of its holder frees it,
// and it is not inherited by the processes that the holder starts.
type Lock struct {
	l   *lock.Lock
	dir string
}

// A Holder is who has the lock.
type Holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"` // UTC
	Doing string    `json:"doing"`
}

// A BusyError tells who holds the lock. It wraps [ErrBusy].
type BusyError struct {
	Holder Holder // zero if the holder has not said yet
}

func (e *BusyError) Error() string {
	if e.Holder.PID == 0 {
		return ErrBusy.Error() + "; wait for it to end"
	}
	return fmt.Sprintf("%v: process %d on %s, %s since %s; wait for it to end",
		ErrBusy, e.Holder.PID, e.Holder.Host, e.Holder.Doing, e.Holder.Since.Format(time.RFC3339))
}

// Unwrap returns ErrBusy.
func (e *BusyError) Unwrap() error { return ErrBusy }

// Acquire takes the lock of the state folder dir. If another process has it
// the error is, after half a second, a [*BusyError].
func Acquire(dir, doing string, now time.Time) (*Lock, error) {
	l, err := lock.Try(filepath.Join(dir, lockName))
	if errors.Is(err, lock.ErrBusy) {
		return nil, &BusyError{Holder: readHolder(dir)}
	}
	if err != nil {
		return nil, fmt.Errorf("take the lock: %w", err)
	}
	host, _ := os.Hostname() // only shown to people
	h, err := json.Marshal(Holder{PID: os.Getpid(), Host: host, Since: now.UTC().Truncate(time.Second), Doing: doing})
	if err == nil {
		// Beside the lock and not in it: Windows lets nobody read a locked
		// range. It counts only while the lock is held, so it need not be
		// durable.
		err = os.WriteFile(filepath.Join(dir, holderName), h, 0o600)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("say who holds the lock: %w", err), l.Unlock())
	}
	return &Lock{l: l, dir: dir}, nil
}

// Working returns who has the lock of the state folder dir, nil if nobody has.
// It may be given up as soon as this is said. Who looks holds it for a moment
// himself, which [Acquire] waits for.
func Working(dir string) (*Holder, error) {
	held, err := lock.Held(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("look at the lock: %w", err)
	}
	if !held {
		return nil, nil
	}
	h := readHolder(dir)
	return &h, nil
}

func readHolder(dir string) Holder {
	var h Holder
	data, err := os.ReadFile(filepath.Join(dir, holderName))
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Holder{} // it is being written this very moment
	}
	return h
}

// Check fails if the lock file was taken away or replaced under its holder:
// another process could then hold a lock of the same name.
func (l *Lock) Check() error {
	if err := l.l.Check(); err != nil {
		return fmt.Errorf("look at the lock: %w; find out who did", err)
	}
	return nil
}

// Release gives the lock back.
func (l *Lock) Release() error {
	_ = os.Remove(filepath.Join(l.dir, holderName))
	return l.l.Unlock()
}
