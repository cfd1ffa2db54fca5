// Package names checks the names that a server sends before a file system or a
// terminal sees them.
package names

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"
)

// ErrUnsafe is wrapped by the errors of [Check].
var ErrUnsafe = errors.New("unsafe name")

// maxName leaves space for what the archive adds to a name, within the 255 bytes
// that file systems allow.
const maxName = 200

// Check returns an error that wraps [ErrUnsafe] if a name must not be used in a
// file system, ours or the one of a Windows share: a path, a device, something
// that two systems would spell differently. Names are refused rather than
// repaired, because two repaired names could be the same.
func Check(name string) error {
	bad := func(reason string) error { return fmt.Errorf("%w %s: %s", ErrUnsafe, Show(name), reason) }
	switch {
	case name == "":
		return fmt.Errorf("%w: empty", ErrUnsafe)
	case len(name) > maxName:
		return bad(fmt.Sprintf("longer than %d bytes", maxName))
	case !utf8.ValidString(name) || strings.ContainsRune(name, utf8.RuneError):
		return bad("not valid UTF-8")
	case name == "." || name == "..":
		return bad("means a directory")
	case strings.ContainsAny(name, `/\:*?"<>|`):
		return bad("contains a character with a meaning to file systems")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return bad("contains a character that cannot be printed")
	case strings.HasPrefix(name, " ") || strings.HasSuffix(name, " ") || strings.HasSuffix(name, "."):
		return bad("Windows drops dots and spaces around names")
	case isDevice(name):
		return bad("names a device on Windows")
	}
	return nil
}

// IsSafe reports whether [Check] accepts a name.
func IsSafe(name string) bool { return isPlain(name) || Check(name) == nil }

// isPlain reports whether a name consists of ASCII letters, digits, "-" and "_",
// with dots between, and is not one of Windows' devices, which are shorter or
// have a "$". Nearly every name is plain, and Check is ten times slower.
func isPlain(name string) bool {
	stem := 0
	for stem < len(name) && isWord(name[stem]) {
		stem++
	}
	if stem <= len("COM1") || len(name) > maxName {
		return false
	}
	for i := stem; i < len(name); i++ {
		if !isWord(name[i]) && name[i] != '.' {
			return false
		}
	}
	return name[len(name)-1] != '.'
}

func isWord(b byte) bool {
	return '0' <= b && b <= '9' || 'a' <= b|0x20 && b|0x20 <= 'z' || b == '-' || b == '_'
}

// isDevice reports whether name is a device to Windows: with any extension, in
// any case, with spaces before the dot.
func isDevice(name string) bool {
	base, _, _ := strings.Cut(name, ".")
	base = strings.TrimRight(base, " ")
	is := func(device string) bool { return strings.EqualFold(base, device) }
	if slices.ContainsFunc([]string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"}, is) {
		return true
	}
	if len(base) < len("COM1") {
		return false
	}
	port := base[3:]
	base = base[:3]
	return (is("COM") || is("LPT")) && utf8.RuneCountInString(port) == 1 && strings.ContainsAny(port, "0123456789¹²³")
}

// Text returns a server's bytes as UTF-8. What is not valid UTF-8 is decoded as
// CP1251, in which old Russian servers send names. It is for messages and for
// names of our own: the server always gets its own bytes.
func Text(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	s, err := charmap.Windows1251.NewDecoder().String(name)
	if err != nil {
		return strings.ToValidUTF8(name, "\uFFFD")
	}
	return s
}

// Fold returns a name so that two which a file system may take for one are equal,
// apart from their letters' case.
func Fold(raw string) string { return norm.NFC.String(Text(raw)) }

// Spells reports whether a server's bytes are a spelling of a name: in UTF-8, with
// letters such as "й" in one character or in two, or in a code page of Russian.
func Spells(raw, name string) bool {
	name = norm.NFC.String(name)
	if utf8.ValidString(raw) {
		return norm.NFC.String(raw) == name
	}
	for _, page := range []*charmap.Charmap{charmap.Windows1251, charmap.KOI8R, charmap.CodePage866} {
		if s, err := page.NewDecoder().String(raw); err == nil && s == name {
			return true
		}
	}
	return false
}

// Show makes a hostile text safe for one line of a message.
func Show(s string) string {
	const limit = 120
	s = Text(s)
	cut := ""
	if len(s) > limit {
		at := limit
		for !utf8.RuneStart(s[at]) {
			at--
		}
		s, cut = s[:at], "…"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s) + cut
	}
	return s + cut
}
