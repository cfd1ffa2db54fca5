package authenticode

import (
	"errors"
	"fmt"
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
	// ErrExpired means that the certificate has expired (or is not valid yet),
	// and no trusted time stamp shows that the signature is older. Everything
	// else is valid.
	ErrExpired = errors.New("signed with an expired certificate")
	// ErrUntrusted means that the certificate does not lead to a trusted root or
	// is not meant for signing code, or that the signature is too weak.
	ErrUntrusted = errors.New("signed by an untrusted certificate")
	// ErrOtherPublisher means that the signature is not by the publisher in the
	// [Policy].
	ErrOtherPublisher = errors.New("signed by another publisher")
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
	ErrExpired:        "ask the vendor for a file with a time stamp, or pin its SHA-256",
	ErrUntrusted:      "add the vendor's root to Policy.Roots, or pin the certificate's thumbprint",
	ErrOtherPublisher: "do not run it; if the vendor has a new certificate, ask them to confirm it and change the policy",
}
