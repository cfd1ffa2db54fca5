package version

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckDistribution returns nil if s can be the name of a distribution, and a
// [*ParseError] otherwise.
//
// Such names come from the vendor's server and become names of folders here, so
// s must be one that names one and the same folder, inside the folder it is
// looked up in, on every system: valid UTF-8 of at most 255 bytes, printable,
// with no slash, backslash or other character that Windows gives a meaning to,
// not "." or "..", no blank at either end, no dot at the end, and no name of a
// Windows device. Cyrillic and blanks inside are as good as Latin.
func CheckDistribution(s string) error {
	if f := checkDistribution(s); !f.ok() {
		return f.error(s, asDist)
	}
	return nil
}

func checkDistribution(s string) fault {
	bad := func(offset int, reason string) fault { return fault{offset, partDistribution, reason} }
	switch {
	case s == "":
		return bad(0, "is missing; write /<distribution>/X.YY.ZZZ, as in /АСП/7.04.100")
	case len(s) > 255:
		return bad(255, "is too long: at most 255 bytes are possible")
	case s == "." || s == "..":
		return bad(0, "must be the name of a folder, not . or ..")
	}
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			return bad(i, "must be valid UTF-8")
		case strings.ContainsRune(`/\:*?"<>|`, r):
			return bad(i, `must not hold any of / \ : * ? " < > |`)
		case !unicode.IsPrint(r):
			// Control characters, NUL, and what is invisible or turns the
			// direction of writing: two such names would look the same.
			return bad(i, "must hold printable characters only")
		}
	}
	switch last := len(s) - 1; {
	case s[0] == ' ':
		return bad(0, "must not start with a blank")
	case s[last] == ' ' || s[last] == '.':
		return bad(last, "must not end with a blank or a dot, which Windows drops")
	case isDevice(s):
		return bad(0, "must not be the name of a Windows device")
	}
	return fault{}
}

// isDevice reports whether Windows takes s for a device, whatever the folder:
// case, and all from the first dot on, do not count for it.
func isDevice(s string) bool {
	base, _, _ := strings.Cut(s, ".")
	base = strings.ToUpper(strings.TrimRight(base, " "))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	if port, found := strings.CutPrefix(base, "COM"); found {
		return isPort(port)
	}
	port, found := strings.CutPrefix(base, "LPT")
	return found && isPort(port)
}

// isPort reports whether s is one digit; Windows takes superscript ones too.
func isPort(s string) bool {
	r, size := utf8.DecodeRuneInString(s)
	return size > 0 && size == len(s) && strings.ContainsRune("0123456789¹²³", r)
}
