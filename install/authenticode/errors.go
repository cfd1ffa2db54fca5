package authenticode

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Why a file is refused; see [errors.Is].
var (
	// ErrUnsigned means that the file has no signature, or is neither a Windows
	// program nor an MSI package.
	ErrUnsigned = errors.New("not signed")
	// ErrMismatch means that the file is not as it was signed, is damaged, or
	// contains more than was signed.
	ErrMismatch = errors.New("changed after it was signed")
	// ErrUntrusted means that the file is as it was signed, and that the policy
	// does not accept who signed it: another publisher, a root that is not
	// trusted, a certificate that has expired or is not for code, or a weak hash.
	ErrUntrusted = errors.New("the signature is not trusted")

	errExpired        = fmt.Errorf("%w: signed with an expired certificate", ErrUntrusted)
	errOtherPublisher = fmt.Errorf("%w: signed by another publisher", ErrUntrusted)
	errWeak           = fmt.Errorf("%w: signed with a weak hash", ErrUntrusted)
)

// An Error means that a file is refused. Any other error of this package means
// that the file could not be verified: it could not be read, the context ended,
// or the [Policy] is incomplete.
type Error struct {
	Op      string // "verify"
	Subject string // the file's path
	Err     error  // wraps one of the package's sentinels; names from the file are quoted
	Next    string // what to do next
}

func (e *Error) Error() string {
	subject := strings.TrimSpace(e.Op + " " + e.Subject)
	return fmt.Sprintf("%s: %v; %s", subject, e.Err, e.Next)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// refuse returns an Error that wraps the sentinel and has the detail.
func refuse(sentinel error, detail string, args ...any) *Error {
	return &Error{Op: "verify", Err: fmt.Errorf("%w: %s", sentinel, fmt.Sprintf(detail, args...)), Next: next[sentinel]}
}

var next = map[error]string{
	ErrUnsigned:       "pin its SHA-256 instead, or ask the vendor for a signed file",
	ErrMismatch:       "do not run it, fetch it again and ask the vendor",
	errExpired:        "ask the vendor for a file with a time stamp, or pin its SHA-256",
	errWeak:           "ask the vendor for a signature with SHA-256, or pin the file's SHA-256",
	errOtherPublisher: "do not run it; if the vendor has another certificate now, ask them to confirm it and change the policy",
	ErrUntrusted:      "ask the vendor for a file that is signed by a certificate for code, or pin its SHA-256",
}

// rank orders what is wrong with the signatures of one file: the error of the one
// that comes nearest to the policy says the most.
func (e *Error) rank() int {
	return slices.IndexFunc([]error{errOtherPublisher, errWeak, ErrUntrusted}, func(target error) bool { return errors.Is(e, target) }) + 1
}
