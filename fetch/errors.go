package fetch

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/version"
)

// The reasons that a caller tells apart, with errors.Is. Whatever else can go
// wrong (a folder without the right to write, a bug) has no reason of its own.
var (
	// ErrUnreachable: the server does not answer, ceased to answer, or
	// cannot be talked to safely. Trying later may help.
	ErrUnreachable = errors.New("server unreachable")
	// ErrCredentials: the server refused the user or the password.
	ErrCredentials = errors.New("login refused")
	// ErrUnknownDistribution: the server has no such folder.
	ErrUnknownDistribution = errors.New("unknown distribution")
	// ErrNotFound: a folder or a file is not on the server.
	ErrNotFound = errors.New("not on the server")
	// ErrNothing: the distribution is there, and no release that may be
	// offered is in it.
	ErrNothing = errors.New("no release to offer")
	// ErrIncomplete: the distributions of a bundle do not yet have a release
	// in common (R4); [Error.Missing] says what is missing where.
	ErrIncomplete = errors.New("joint release incomplete")
	// ErrChanged: a file on the server changed since it was found. Look again.
	ErrChanged = errors.New("changed on the server")
	// ErrNoSpace: the archive's volume is full, or would be.
	ErrNoSpace = errors.New("no space left for the archive")
	// ErrMismatch: the bytes are not the ones that were vouched for.
	ErrMismatch = errors.New("file is not the one that was vouched for")
	// ErrNotArchived: the archive has no such version (R10).
	ErrNotArchived = errors.New("not in the archive")
	// ErrUnsafeName: a name could mean something to a file system.
	ErrUnsafeName = names.ErrUnsafe
)

// Error is what the package's functions return.
type Error struct {
	Op     string // what was tried: "list", "open", "read", "find", "fetch", "verify", "import", "prune", "get", "look", "report"
	Name   string // of what: a path on the server, a distribution, a version, a file
	Reason error  // one of the package's sentinels, or nil
	Err    error  // the cause, or nil; holds no secret
	Hint   string // what to do next, or ""

	// Code is the server's reply code where FTP gave one, otherwise 0.
	Code int
	// Temporary reports that the same call may succeed a little later. What
	// a [Source] retries by itself has been retried by then.
	Temporary bool
	// Missing tells, with ErrIncomplete, what is not there yet.
	Missing []Missing
}

// Missing is one release that a joint release lacks (R4).
type Missing struct {
	Distribution string
	Version      version.Version // zero: the distribution has nothing to offer at all
	Variant      version.Variant
	Why          string // "not on the server", "still settling", …
}

func (m Missing) String() string {
	if m.Version.IsZero() {
		return fmt.Sprintf("%s: no %s to offer (%s)", names.Show(m.Distribution), m.Variant, m.Why)
	}
	return fmt.Sprintf("%s: no %s of %s (%s)", names.Show(m.Distribution), m.Variant, m.Version, m.Why)
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Name != "" {
		b.WriteString(" " + names.Show(e.Name))
	}
	if e.Reason != nil {
		b.WriteString(": " + e.Reason.Error())
	}
	for i, m := range e.Missing {
		b.WriteString([]string{": ", "; "}[min(i, 1)] + m.String())
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap gives errors.Is and errors.As both the reason and the cause.
func (e *Error) Unwrap() []error {
	var all []error
	for _, err := range []error{e.Reason, e.Err} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

// Reason finds the sentinel that err wraps.
func Reason(err error) error {
	for _, r := range []error{ErrUnreachable, ErrCredentials, ErrUnknownDistribution, ErrNotFound, ErrNothing, ErrIncomplete, ErrChanged, ErrNoSpace, ErrMismatch, ErrNotArchived, ErrUnsafeName} {
		if errors.Is(err, r) {
			return r
		}
	}
	return nil
}

// Wrap returns err as an *Error: err itself if it is one.
func Wrap(op, name string, err error) error {
	if e, ok := err.(*Error); ok { //nolint:errorlint // only the outermost error counts
		return e
	}
	e := &Error{Op: op, Name: name, Reason: Reason(err), Err: err}
	if cause, ok := errors.AsType[*Error](err); ok {
		e.Code, e.Temporary = cause.Code, cause.Temporary
	}
	return e
}
