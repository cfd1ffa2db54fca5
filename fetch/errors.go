package fetch

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/version"
)

// The states that a caller distinguishes with errors.Is. Whatever else can go
// wrong, such as a missing permission, has no sentinel of its own.
var (
	// ErrUnreachable: the server does not answer, stopped answering, or
	// cannot be connected to safely. Trying later may help.
	ErrUnreachable = errors.New("server unreachable")
	// ErrCredentials: the server refused the user or the password.
	ErrCredentials = errors.New("login refused")
	// ErrUnknownDistribution: the server has no such directory.
	ErrUnknownDistribution = errors.New("unknown distribution")
	// ErrNotFound: a directory or a file is not on the server.
	ErrNotFound = errors.New("not on the server")
	// ErrNoRelease: the distribution has no release that may be offered.
	ErrNoRelease = errors.New("no release to offer")
	// ErrIncomplete: the distributions of a bundle do not yet have a release
	// in common (R4); [Error.Missing] lists what is missing.
	ErrIncomplete = errors.New("joint release incomplete")
	// ErrChanged: a file on the server changed after it was found. Find again.
	ErrChanged = errors.New("changed on the server")
	// ErrUnsafeName: a name has a special meaning to a file system.
	ErrUnsafeName = names.ErrUnsafe
)

// Error is what the functions of this package and of those below it return.
type Error struct {
	Op      string // what was tried: "list", "open", "find", "fetch", "verify", "import", "prune", …
	Subject string // what it was about: a path on the server, a distribution, a version, a file
	Err     error  // the cause; holds no secret
	Next    string // what to do next, or ""

	// Code is the server's reply code where FTP returned one, otherwise 0.
	Code int
	// Temporary reports that the same call may succeed a little later. A
	// [Source] has made all its own attempts by then.
	Temporary bool
	// Missing lists, with ErrIncomplete, what is not there yet.
	Missing []Missing
}

// Missing is one release that a joint release lacks (R4).
type Missing struct {
	Distribution string
	Version      version.Version // zero: the distribution has nothing to offer at all
	Variant      version.Variant
	Reason       string // "not on the server", "still settling", …
}

func (m Missing) String() string {
	if m.Version.IsZero() {
		return fmt.Sprintf("%s: no %s to offer (%s)", names.Show(m.Distribution), m.Variant, m.Reason)
	}
	return fmt.Sprintf("%s: no %s of %s (%s)", names.Show(m.Distribution), m.Variant, m.Version, m.Reason)
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Subject != "" {
		b.WriteString(" " + names.Show(e.Subject))
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	for i, m := range e.Missing {
		b.WriteString([]string{": ", "; "}[min(i, 1)] + m.String())
	}
	if e.Next != "" {
		b.WriteString("; " + e.Next)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Wrap returns err as an [*Error]: err itself if it is one, else one with the
// Code and Temporary of the *Error that err wraps, if any.
func Wrap(op, subject string, err error) error {
	if e, ok := err.(*Error); ok { //nolint:errorlint // only the outermost error counts
		return e
	}
	e := &Error{Op: op, Subject: subject, Err: err}
	if cause, ok := errors.AsType[*Error](err); ok {
		e.Code, e.Temporary = cause.Code, cause.Temporary
	}
	return e
}
