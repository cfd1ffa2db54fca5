package authenticode

import (
	"errors"
	"fmt"
)

// Why a file is refused, told apart with errors.Is.
var (
	// ErrUnsigned: there is no signature in the file, or the file is neither
	// a Windows program nor an MSI package.
	ErrUnsigned = errors.New("not signed")
	// ErrTampered: the file is not as it was signed, is damaged, or carries
	// more than was signed.
	ErrTampered = errors.New("changed after it was signed")
	// ErrExpired: the certificate's time is over (or has not come), and no
	// trusted time stamp shows that the signature is older. All else is right.
	ErrExpired = errors.New("signed with a certificate that is not valid any more")
	// ErrUntrusted: the certificate does not lead to a trusted root, is not
	// meant for signing code, or the signature is too weak.
	ErrUntrusted = errors.New("signed by an untrusted certificate")
	// ErrOtherPublisher: the signature is by somebody else than the [Policy] wants.
	ErrOtherPublisher = errors.New("signed by another publisher")
)

// An Error says that a file is refused, and why. Any other error of this
// package means that it could not decide: the file could not be read, the
// context ended, or the [Policy] is incomplete.
type Error struct {
	Path   string // the file, "" if it came as an [io.ReaderAt]
	Reason error  // one of the package's sentinels
	Detail string // what exactly; names out of the file are quoted
	Hint   string // what to do next
}

func (e *Error) Error() string {
	s := "authenticode"
	if e.Path != "" {
		s += " " + e.Path
	}
	return fmt.Sprintf("%s: %v: %s; %s", s, e.Reason, e.Detail, e.Hint)
}

// Unwrap returns the Reason.
func (e *Error) Unwrap() error { return e.Reason }

func refuse(reason error, format string, args ...any) *Error {
	return &Error{Reason: reason, Detail: fmt.Sprintf(format, args...), Hint: hints[reason]}
}

var hints = map[error]string{
	ErrUnsigned:       "pin its SHA-256 instead, or ask the vendor for a signed file",
	ErrTampered:       "do not run it, fetch it again and ask the vendor",
	ErrExpired:        "ask the vendor for a file with a time stamp, or pin its SHA-256",
	ErrUntrusted:      "give the vendor's root in Policy.Roots, or pin the certificate's thumbprint",
	ErrOtherPublisher: "do not run it; if the vendor has a new certificate, ask them to confirm it and change the policy",
}
