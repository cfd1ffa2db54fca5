package version

import (
	"errors"
	"fmt"
)

// ErrSyntax is what every [ParseError] wraps: ask for it with errors.Is where
// it does not matter what exactly is wrong.
var ErrSyntax = errors.New("wrong syntax")

// A ParseError says where and why a text is not what it was read as.
type ParseError struct {
	Input  string // all of the text, unchanged; it may come from a hostile server
	Offset int    // byte offset in Input at which the trouble starts, from 0 to len(Input)
	Field  string // what is wrong: "X", "YY", "ZZZ", "beta", "distribution", "variant", "bound" or "name"

	kind   string // what Input was read as
	reason string // continues a sentence that starts with Field
}

// The kinds of text that this package reads, for messages.
const (
	asVersion = "version"
	asName    = "release name"
	asDist    = "distribution"
	asVariant = "variant"
	asRange   = "version range"
)

// Error shows the input quoted, so that control characters in it do no harm,
// and cut short if it is long.
func (e *ParseError) Error() string {
	input := e.Input
	const enough = 80
	dots := ""
	if len(input) > enough {
		input, dots = input[:enough], "..."
	}
	return fmt.Sprintf("cannot read %q%s as a %s: %s at byte %d %s", input, dots, e.kind, e.Field, e.Offset, e.reason)
}

// Unwrap returns [ErrSyntax].
func (e *ParseError) Unwrap() error { return ErrSyntax }

// A fault is what the scanners return instead of an error, so that a good text
// costs no allocation; it is small, so that it stays in registers. The zero
// fault means that all is well.
type fault struct {
	offset int
	part   part
	reason string
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

// in moves a fault found in a piece of a text to where it is in the whole text.
func (f fault) in(offset int) fault {
	f.offset += offset
	return f
}

func (f fault) error(input, kind string) error {
	return &ParseError{Input: input, Offset: f.offset, Field: f.part.String(), kind: kind, reason: f.reason}
}
