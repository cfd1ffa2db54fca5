package rollback

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/lock"
	"github.com/aspupdate/aspupdate/internal/private"
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

// A Holder is the process that holds the lock.
type Holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"` // UTC
	Doing string    `json:"doing"` // in words, such as "updating"
}

// Acquire takes the lock of the state directory dir. If another process has
// it the error is, after half a second, a refusal that wraps [ErrBusy]. A
// directory that another account can change is refused.
func Acquire(dir, doing string, now time.Time) (*Lock, error) {
	path := filepath.Join(dir, lockName)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := durable.MkdirAll(dir, 0o700); err != nil {
			return nil, &Error{Op: "create", Subject: dir, Err: err}
		}
	}
	if err := checkOwners(dir); err != nil {
		return nil, err
	}
	l, err := lock.Try(path)
	if errors.Is(err, lock.ErrBusy) {
		busy := ErrBusy
		if h := readHolder(dir); h.PID != 0 {
			busy = fmt.Errorf("%w: process %d on %s, %s since %s", ErrBusy, h.PID, h.Host, h.Doing, h.Since.Format(time.RFC3339))
		}
		return nil, refuse(ReasonState, "", "%w", busy).then("wait for it to end")
	}
	if err != nil {
		return nil, &Error{Op: "lock", Subject: path, Err: err}
	}
	host, _ := os.Hostname() // only shown to people
	h, err := json.Marshal(Holder{PID: os.Getpid(), Host: host, Since: now.UTC().Truncate(time.Second), Doing: doing})
	if err == nil {
		// Not in the lock file: a locked range cannot be read on Windows. It
		// counts only while the lock is held, so it need not be durable.
		err = durable.Rewrite(filepath.Join(dir, holderName), h, 0o600)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, &Error{Op: "write", Subject: filepath.Join(dir, holderName), Err: errors.Join(err, l.Unlock())}
	}
	// On a full disk it is not known who holds the lock, which must not keep
	// users out.
	return &Lock{l: l, dir: dir}, nil
}

// checkOwners refuses a state directory that another account can change.
func checkOwners(dir string) error {
	if err := private.Check(dir); err != nil {
		return refuse(ReasonState, "", "%w", err)
	}
	return nil
}

// LockHolder returns the process that holds the lock of the state directory
// dir, nil if there is none. The lock may be released as soon as this returns.
func LockHolder(dir string) (*Holder, error) {
	path := filepath.Join(dir, lockName)
	held, err := lock.Held(path)
	if err != nil {
		return nil, &Error{Op: "check lock", Subject: path, Err: err}
	}
	if !held {
		return nil, nil
	}
	h := readHolder(dir)
	return &h, nil
}

func readHolder(dir string) Holder {
	var h Holder
	data, err := durable.ReadFile(filepath.Join(dir, holderName))
	if err != nil || json.Unmarshal(data, &h) != nil {
		return Holder{} // it is being written just now
	}
	return h
}

// check fails if the lock file was removed or replaced under its holder:
// another process could then hold a lock of the same name.
func (l *Lock) check() error {
	if err := l.l.Check(); err != nil {
		return &Error{Op: "check lock", Subject: filepath.Join(l.dir, lockName), Err: err, Next: "find out who removed or replaced it"}
	}
	return nil
}

// Release frees the lock.
func (l *Lock) Release() error {
	_ = os.Remove(filepath.Join(l.dir, holderName))
	return l.l.Unlock()
}
