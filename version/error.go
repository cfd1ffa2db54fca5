package version

import (
	"errors"
	"fmt"
	"strings"
)

// ErrSyntax is wrapped by every [Error]: test for it with [errors.Is] where the
// details do not matter.
var ErrSyntax = errors.New("invalid syntax")

// An Error says where and why a text cannot be parsed.
type Error struct {
	Op      string // "parse version", "parse release name", "parse version range", ...
	Subject string // the whole text, unchanged; it may come from an untrusted server
	Err     error  // wraps ErrSyntax
	Next    string // what to write instead; often empty

	Field  string // what is invalid: "X", "YY", "ZZZ", "beta", "distribution", "variant", "bound" or "name"
	Offset int    // the byte of Subject at which Field or the invalid part of it starts
}

// Error quotes the text, so that control characters in it do no harm, and
// shortens a long one.
func (e *Error) Error() string {
	const enough = 80
	subject, dots := e.Subject, ""
	if len(subject) > enough {
		subject, dots = subject[:enough], "..."
	}
	s := fmt.Sprintf("%s %q%s: %v", e.Op, subject, dots, e.Err)
	if e.Next != "" {
		s += "; " + e.Next
	}
	return s
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// The operations that fail.
const (
	opVersion      = "parse version"
	opName         = "parse release name"
	opDistribution = "check distribution"
	opVariant      = "parse variant"
	opRange        = "parse version range"
)

// A fault is what the scanners return instead of an error, so that a good text
// costs no allocation; it is small, so that it stays in registers. The zero
// fault means success.
type fault struct {
	offset int
	part   part
	reason string // continues a sentence that starts with the part; after "; " what to write instead
}

// A part is what a fault was found in.
type part uint8

const (
	partX part = iota
	partYY
	partZZZ
	partBeta
	partName
	partDistribution
	partVariant
	partBound
)

func (p part) String() string {
	return [...]string{"X", "YY", "ZZZ", "beta", "name", "distribution", "variant", "bound"}[p]
}

func (f fault) ok() bool { return f.reason == "" }

// in moves a fault found in a part of a text to its place in the whole text.
func (f fault) in(offset int) fault {
	f.offset += offset
	return f
}

func (f fault) error(op, subject string) error {
	reason, next, _ := strings.Cut(f.reason, "; ")
	err := fmt.Errorf("%w: %v at byte %d %s", ErrSyntax, f.part, f.offset, reason)
	return &Error{Op: op, Subject: subject, Err: err, Next: next, Field: f.part.String(), Offset: f.offset}
}
