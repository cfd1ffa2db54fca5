package install

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrMismatch means that the installer is not the file that was vouched
	// for. Nothing ran.
	ErrMismatch = errors.New("the installer does not have the expected SHA-256")
	// ErrTimeout means that an installer or the wait for health exceeded its
	// deadline.
	ErrTimeout = errors.New("timed out")
	// ErrFailed means that the installer ended and did not succeed; the
	// [Outcome] says how. A [Probe] returns an error that wraps it if waiting
	// is useless.
	ErrFailed = errors.New("failed for good")
	// ErrUnsettled means that another process runs an installer in this state
	// directory, or left one there; see [Runner.Settle]. Nothing ran.
	ErrUnsettled = errors.New("an earlier run is not settled")
	// ErrUnknownKind means that the kind of an installer is not known, or not
	// what makes it run unattended. Nothing ran, and no option was guessed.
	ErrUnknownKind = errors.New("unknown kind of installer")
	// ErrPermission means that an installer needs elevated rights, and this
	// process does not have them. Nothing ran.
	ErrPermission = errors.New("elevated rights are needed")
)

// An Error is a failed operation on an installer, or a failed wait for health.
// It contains no argument and no environment variable of a command.
type Error struct {
	Op      string // "detect", "run", "settle", "await"
	Subject string // the installer's path; for await the version waited for
	Got     string // await: the version that answered last, "" if none did
	Err     error
	Next    string // what to do next; "" if nothing is known

	logs string // of an installer that ran
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s: %v%s", strings.TrimSpace(e.Op+" "+e.Subject), e.Err, e.logs)
	if e.Next != "" {
		text += "; " + e.Next
	}
	return text
}

// Unwrap returns the cause, which wraps one of the package's errors or the
// context's where one of them fits.
func (e *Error) Unwrap() error { return e.Err }
