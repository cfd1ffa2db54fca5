package install

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrMismatch means: the installer is not the file that was vouched for.
	// Nothing ran.
	ErrMismatch = errors.New("the installer does not have the expected SHA-256")
	// ErrTimeout means: an installer or the wait for health outlasted its limit.
	ErrTimeout = errors.New("timed out")
	// ErrFailed means: the installer ended, and not well; the [Error]'s Status
	// says how. A [Probe] whose error wraps it says that waiting is useless.
	ErrFailed = errors.New("failed for good")
	// ErrUnsettled means: another process runs an installer in this state folder,
	// or one left an installer there; see [Runner.Settle]. Nothing ran.
	ErrUnsettled = errors.New("an earlier run is not settled")
	// ErrUnknownKind means: what kind of installer a file is cannot be told, or
	// not what makes it run unattended. Nothing ran, and no switch was guessed.
	ErrUnknownKind = errors.New("the kind of installer is not known")
	// ErrRights means: an installer needs elevated rights, and this process
	// does not have them. Nothing ran.
	ErrRights = errors.New("elevated rights are needed")
)

// An Error says what went wrong, where things stand, and what to do next. It
// holds no argument and no environment variable of a command.
type Error struct {
	Op     string // "detect", "run", "settle", "await"
	Path   string // the installer; "" for await
	Status Status // of the installer; NotRun means that nothing was started
	Code   uint32 // its exit code, where it has ended by itself
	Log    string // the file with its output, if it ran
	OwnLog string // the log that the installer wrote by itself, if it did
	Want   string // await: the version waited for
	Got    string // await: the version that answered last, "" if none did
	Err    error
	Next   string // what to do
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Path != "" {
		fmt.Fprintf(&b, " %s", e.Path)
	}
	if e.Want != "" {
		fmt.Fprintf(&b, " version %q", e.Want)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	switch {
	case e.OwnLog != "":
		fmt.Fprintf(&b, " (logs: %s, %s)", e.OwnLog, e.Log)
	case e.Log != "":
		fmt.Fprintf(&b, " (log: %s)", e.Log)
	}
	if e.Next != "" {
		fmt.Fprintf(&b, "; %s", e.Next)
	}
	return b.String()
}

// Unwrap returns the cause, which wraps one of the package's errors or the
// context's where one of them fits.
func (e *Error) Unwrap() error { return e.Err }
