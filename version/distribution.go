package version

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckDistribution returns nil if s can be the name of a distribution, and an
// [*Error] otherwise.
//
// Such names come from the vendor's server and become names of directories
// here. So s must name the same directory on every system, and one inside its
// parent: valid UTF-8 of at most 255 bytes, printable, without slashes,
// backslashes and other characters that are special on Windows, not "." or
// "..", without a space at either end or a dot at the end, and not the name of
// a Windows device. Cyrillic letters and spaces inside are valid.
func CheckDistribution(s string) error {
	if f := checkDistribution(s); !f.ok() {
		return f.error(opDistribution, s)
	}
	return nil
}

func checkDistribution(s string) fault {
	bad := func(offset int, reason string) fault { return fault{offset, partDistribution, reason} }
	switch {
	case s == "":
		return bad(0, "is missing; write /<distribution>/X.YY.ZZZ, as in /АСП/7.04.100")
	case len(s) > 255:
		return bad(255, "is longer than 255 bytes")
	case s == "." || s == "..":
		return bad(0, "is a relative path, not the name of a directory")
	}
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			return bad(i, "is not valid UTF-8")
		case strings.ContainsRune(`/\:*?"<>|`, r):
			return bad(i, `contains one of / \ : * ? " < > |`)
		case !unicode.IsPrint(r):
			// Control characters, NUL, and what is invisible or turns the
			// writing direction: two such names would look the same.
			return bad(i, "contains a character that cannot be printed")
		}
	}
	switch last := len(s) - 1; {
	case s[0] == ' ':
		return bad(0, "starts with a space")
	case s[last] == ' ' || s[last] == '.':
		return bad(last, "ends with a space or a dot, which Windows removes")
	case isDevice(s):
		return bad(0, "is the name of a Windows device")
	}
	return fault{}
}

// isDevice reports whether s is the name of a Windows device, which it is in any
// directory, in any case, and whatever follows the first dot.
func isDevice(s string) bool {
	base, _, _ := strings.Cut(s, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	if strings.HasPrefix(base, "COM") || strings.HasPrefix(base, "LPT") {
		port := []rune(base[3:]) // one digit; Windows accepts superscripts as well
		return len(port) == 1 && strings.ContainsRune("0123456789¹²³", port[0])
	}
	return slices.Contains([]string{"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}, base)
}
