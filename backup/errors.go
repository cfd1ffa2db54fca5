package backup

import (
	"errors"
	"strings"
)

var (
	// ErrDamaged says that a snapshot is not what was sealed: a byte changed,
	// a file was cut short, is missing or was added. Nothing was restored.
	ErrDamaged = errors.New("the snapshot is damaged")

	// ErrNotFound says that the store has no snapshot of that ID.
	ErrNotFound = errors.New("no such snapshot")

	// ErrUnfit says that a whole snapshot cannot be used here: it is of
	// another kind of target, of another database or folder, or in a format
	// newer than this program's.
	ErrUnfit = errors.New("the snapshot does not fit")
)

// Error is what the methods of Store return.
type Error struct {
	Op   string // "take", "verify", "restore", "prove", "list", "get", "path", "prune", "tidy"
	ID   string // of the snapshot, "" where it has none yet
	File string // in the snapshot, where one is concerned
	Err  error
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("backup: ")
	b.WriteString(e.Op)
	if e.ID != "" {
		b.WriteString(" " + e.ID)
	}
	if e.File != "" {
		b.WriteString(": " + e.File)
	}
	return b.String() + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// wrap gives err the operation and the snapshot, keeping the file that an
// inner Error names.
func wrap(op, id string, err error) error {
	if err == nil {
		return nil
	}
	if inner, ok := err.(*Error); ok { //nolint:errorlint // only our own, unwrapped
		return &Error{Op: op, ID: id, File: inner.File, Err: inner.Err}
	}
	return &Error{Op: op, ID: id, Err: err}
}
