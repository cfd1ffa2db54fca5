package backup

import (
	"errors"
	"strings"
)

// Errors of stores and targets, to be tested with [errors.Is].
var (
	// ErrDamaged means that a snapshot is not what was sealed: a byte changed,
	// or a file was cut short, removed or added. Nothing was restored.
	ErrDamaged = errors.New("the snapshot is damaged")

	// ErrNotFound means that the store has no snapshot with that ID.
	ErrNotFound = errors.New("snapshot not found")

	// ErrIncompatible means that a backup cannot be made or restored here: the
	// snapshot is of another kind of target, of another database or directory,
	// or in a newer format; or the server or this machine lacks something that
	// is needed, such as a role, an extension or a program of the right version.
	ErrIncompatible = errors.New("incompatible")

	// ErrMismatch means that the restored data differs from the data that was
	// backed up. The live data was not touched.
	ErrMismatch = errors.New("the restored data differs from the backup")

	// ErrBusy means that others use the target and did not leave, or that
	// another program is backing it up or restoring it.
	ErrBusy = errors.New("in use")

	// ErrPermission means that the target's account lacks a permission.
	ErrPermission = errors.New("permission denied")

	// ErrNoSpace means that a volume has too little free space.
	ErrNoSpace = errors.New("not enough space")
)

// An Error is returned by the methods of a [Store] and of the targets.
type Error struct {
	Op      string // "take", "verify", "restore", "prove", "list", "get", "path", "prune", "tidy"
	Subject string // ID of the snapshot, or what the target backs up; "" if there is none yet
	Err     error
	Next    string // what to do next; "" if that is not known
}

func (e *Error) Error() string {
	text := e.Err.Error()
	if name := strings.TrimSpace(e.Op + " " + e.Subject); name != "" {
		text = name + ": " + text
	}
	if e.Next != "" && next(e.Err) == "" { // an inner error has printed it
		text += "; " + e.Next
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

// next returns what an Error in the chain of err says to do next.
func next(err error) string {
	switch e, ok := errors.AsType[*Error](err); {
	case !ok:
		return ""
	case e.Next != "":
		return e.Next
	default:
		return next(e.Err)
	}
}

// wrap names the operation and the snapshot that err is about.
func wrap(op, id string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok && e.Op == "" { //nolint:errorlint // advise's, unwrapped
		return &Error{Op: op, Subject: id, Err: e.Err, Next: e.Next}
	}
	return &Error{Op: op, Subject: id, Err: err, Next: next(err)}
}

// advise returns err with what to do next, for wrap.
func advise(err error, next string) error { return &Error{Err: err, Next: next} }
