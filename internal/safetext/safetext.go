// Package safetext makes text of servers, databases, files and child
// processes fit to be shown. It exists so that one filter decides what can
// steer a terminal, a page or a log, wherever such text is printed.
package safetext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean returns s as valid UTF-8 without control and formatting characters,
// those that turn the writing direction included. Line feeds and tabs stay.
// Invalid UTF-8 becomes U+FFFD.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// Line is [Clean] for text that must stay one line: what separates lines becomes
// a space.
func Line(s string) string {
	s = strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ", "\r", " ", "\v", " ", "\f", " ", "\u0085", " ", "\u2028", " ", "\u2029", " ").Replace(s)
	return Clean(s)
}

// Indented is [Clean] for text that may have several lines: those after the
// first begin with indent, so that none can be taken for a line of ours.
func Indented(s, indent string) string {
	return strings.ReplaceAll(Clean(s), "\n", "\n"+indent)
}

// FromRune returns b without what is left of a character at its beginning: a
// text that was cut may begin inside one.
func FromRune(b []byte) []byte {
	for i := 0; i < utf8.UTFMax && len(b) > 0 && !utf8.RuneStart(b[0]); i++ {
		b = b[1:]
	}
	return b
}
