package ftp

import (
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
)

// A field is a part of a line between spaces.
type field struct {
	text string
	end  int // where it ends in the line
}

// fields returns the first fields of a line, as many as into has capacity for.
func fields(line string, into []field) []field {
	for at := 0; len(into) < cap(into); {
		for at < len(line) && line[at] == ' ' {
			at++
		}
		start := at
		for at < len(line) && line[at] != ' ' {
			at++
		}
		if at == start {
			break
		}
		into = append(into, field{line[start:at], at})
	}
	return into
}

// parseUnix reads a line as ls -l writes it:
//
//	-rw-r--r--   1 ftp      ftp       1024 Dec 04 20:00 Setup.exe
//
// Anything or nothing may be between mode and size: servers leave out the
// link count or the group, or print a group with spaces. Only the date
// is certain, with the size right before it and one space and the name after it.
func parseUnix(line string, now time.Time) (fetch.Entry, bool) {
	var space [20]field
	f := fields(line, space[:0])
	if len(f) == 0 || !isMode(f[0].text) {
		return fetch.Entry{}, false
	}
	at, d, ok := findDate(f, now)
	if !ok {
		return fetch.Entry{}, false
	}
	name := line[f[at+d.fields-1].end:]
	if d.padded {
		name = strings.TrimPrefix(name, " ")
	}
	e := fetch.Entry{Name: strings.TrimPrefix(name, " "), Kind: fetch.KindOther, Size: -1, Time: d.time}
	switch f[0].text[0] {
	case '-':
		e.Kind, e.Size = fetch.KindFile, size(f[at-1].text)
	case 'd':
		e.Kind = fetch.KindDir
	case 'l':
		if name, _, found := strings.Cut(e.Name, " -> "); found {
			e.Name = name
		}
	}
	return e, e.Name != ""
}

// isMode reports whether s is a mode like "drwxr-xr-x", which the mark of an ACL,
// of SELinux or of extended attributes may follow.
func isMode(s string) bool {
	const plain = 10
	if len(s) == plain+1 && strings.IndexByte("+.@", s[plain]) >= 0 {
		s = s[:plain]
	}
	if len(s) != plain || strings.IndexByte("-dlbcpsD", s[0]) < 0 {
		return false
	}
	for i := 1; i < plain; i++ {
		switch s[i] {
		case 'r', 'w', 'x', 's', 'S', 't', 'T', 'l', 'L', '-':
		default:
			return false
		}
	}
	return true
}

// isTotal reports whether s is the line before the files: "total 12", in English
// or Russian.
func isTotal(s string) bool {
	for _, word := range []string{"total ", "итого ", "\xe8\xf2\xee\xe3\xee "} {
		if rest, ok := strings.CutPrefix(s, word); ok {
			return isNumber(strings.TrimSpace(rest))
		}
	}
	return false
}

// findDate finds the date: the first one that has a number before it, the size.
// A month in an unknown language is any word, which a group can be as well. It
// counts where ls has its date, after mode, links, owner, group and size;
// elsewhere only if the line has no other candidate.
func findDate(f []field, now time.Time) (at int, d date, ok bool) {
	const usual = 5
	var guess date
	guesses := 0
	for i := 2; i < len(f); i++ {
		if !isNumber(f[i-1].text) && !isMinor(f[i-1].text) {
			continue
		}
		d, ok := dateOf(f[i:], now)
		switch {
		case !ok:
		case d.sure && i > usual && guesses > 0:
			return 0, d, false
		case d.sure || i == usual:
			return i, d, true
		default:
			at, guess = i, d
			guesses++
		}
	}
	return at, guess, guesses == 1
}

// isMinor reports whether s is in the size's place for a device whose numbers are
// written without a space: "8,0".
func isMinor(s string) bool {
	major, minor, found := strings.Cut(s, ",")
	return found && isNumber(major) && isNumber(minor)
}
