// Package names keeps the names that a server sends away from file systems and
// terminals until they are known to be harmless.
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
)

// ErrUnsafe is what [Check] returns.
var ErrUnsafe = errors.New("unsafe name")

// maxName leaves room for what the archive puts around a name, below the
// 255 bytes that file systems allow.
const maxName = 200

// Check reports why a name must not be given to a file system, ours or
// the one of a Windows share: a path, a device, something that two systems
// would spell differently. Names are refused rather than repaired, because
// two repaired names could meet.
func Check(name string) error {
	bad := func(why string) error {
		return fmt.Errorf("check name %s: %w: %s", Show(name), ErrUnsafe, why)
	}
	switch {
	case name == "":
		return bad("it is empty")
	case len(name) > maxName:
		return bad(fmt.Sprintf("it is longer than %d bytes", maxName))
	case !utf8.ValidString(name) || strings.ContainsRune(name, utf8.RuneError):
		return bad("it is not valid UTF-8")
	case name == "." || name == "..":
		return bad("it means a folder")
	case strings.ContainsAny(name, `/\:*?"<>|`):
		return bad("it holds a character that file systems give a meaning")
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return bad("it holds a character that cannot be printed")
	case strings.HasPrefix(name, " ") || strings.HasSuffix(name, " ") || strings.HasSuffix(name, "."):
		return bad("Windows drops dots and blanks around names")
	case isDevice(name):
		return bad("it is a device on Windows")
	}
	return nil
}

// IsSafe reports whether [Check] accepts a name.
func IsSafe(name string) bool { return isPlain(name) || Check(name) == nil }

// isPlain reports whether a name is one of ASCII's letters, digits, "-" and "_",
// with dots between, and none of Windows' devices, which are shorter or have a
// "$". It says so of nearly every name there is, ten times as fast as Check.
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

// isDevice reports whether Windows takes name for a device: with any
// extension, in any case, with blanks before the dot.
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

// Text returns a server's bytes as UTF-8. What is not valid UTF-8 is taken for
// CP1251, in which Russian servers of old age send names. It is for reading and
// for names of our own: the server is always given its own bytes.
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

// Show makes a hostile text fit for one line of a message.
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
