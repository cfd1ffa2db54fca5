package ftp

import (
	"strconv"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
)

// pureFTPdLimit is how many entries pure-ftpd lists of a larger directory, with a
// remark or without.
const pureFTPdLimit = 10_000

// parseMLSD reads the lines of RFC 3659. The library's own parser treats
// "Type=DIR" and links as files, sizes with a leading zero as octal, and
// drops lines with an empty "modify=" or a leading space.
func parseMLSD(lines []string) []fetch.Entry {
	return readLines(lines, parseFacts)
}

// parseLIST reads the lines of LIST, for which there is no standard: what
// Unix's ls writes and many imitate, and what IIS writes. Times without a year
// are the last ones before now; times without a zone are read as UTC.
func parseLIST(lines []string, now time.Time) []fetch.Entry {
	now = now.UTC()
	return readLines(lines, func(line string) (fetch.Entry, bool) { return parseLine(line, now) })
}

// parseLine reads one line of LIST.
func parseLine(line string, now time.Time) (fetch.Entry, bool) {
	switch {
	case isDigit(line[0]):
		return parseDOS(line)
	case line[0] == '+':
		return parseEPLF(line)
	case isTotal(line):
		return fetch.Entry{Name: "."}, true
	}
	return parseUnix(line, now)
}

// parseEPLF reads a line of D. J. Bernstein's format, facts before a tab:
//
//	+i8388621.48594,m825718503,r,s280,	Setup.exe
func parseEPLF(line string) (fetch.Entry, bool) {
	facts, name, found := strings.Cut(line[1:], "\t")
	if !found || name == "" {
		return fetch.Entry{}, false
	}
	e := fetch.Entry{Name: name, Kind: fetch.KindOther, Size: -1}
	for fact := range strings.SplitSeq(facts, ",") {
		switch {
		case fact == "/":
			e.Kind = fetch.KindDir
		case fact == "r" && e.Kind != fetch.KindDir:
			e.Kind = fetch.KindFile
		case strings.HasPrefix(fact, "s"):
			e.Size = size(fact[1:])
		case strings.HasPrefix(fact, "m"):
			const last = 253_000_000_000 // in the year 9987
			if s := size(fact[1:]); s > 0 && s < last {
				e.Time = time.Unix(s, 0).UTC()
			}
		}
	}
	return e, true
}

// readLines makes an entry of every line. Nothing is lost: what parse does
// not understand becomes an entry too. Left out is only the directory itself and
// its parent: the names "." and "..", under which parse also returns MLSD's
// cdir and pdir and the line "total 12".
func readLines(lines []string, parse func(line string) (fetch.Entry, bool)) []fetch.Entry {
	entries := make([]fetch.Entry, 0, len(lines))
	for _, line := range lines {
		e, ok := parse(line)
		switch {
		case !ok:
			entries = append(entries, fetch.Entry{Name: strings.Clone(line), Kind: fetch.KindUnreadable, Size: -1})
		case !isSelfOrParent(e.Name):
			entries = append(entries, e)
		}
	}
	return entries
}

// isSelfOrParent reports whether a name means the directory that is listed or its
// parent.
func isSelfOrParent(name string) bool { return name == "." || name == ".." }

// parseFacts reads one line of MLSD.
func parseFacts(line string) (fetch.Entry, bool) {
	facts, name, found := strings.Cut(strings.TrimLeft(line, " "), " ")
	if !found || name == "" || !strings.HasSuffix(facts, ";") {
		return fetch.Entry{}, false
	}
	e := fetch.Entry{Name: name, Size: -1}
	kind := ""
	for facts != "" {
		var fact string
		fact, facts, _ = strings.Cut(facts, ";")
		key, value, _ := strings.Cut(fact, "=")
		switch strings.ToLower(key) {
		case "type":
			kind = strings.ToLower(value)
		case "size":
			e.Size = size(value)
		case "modify":
			if t, err := time.Parse("20060102150405", value); err == nil {
				e.Time = t.Truncate(time.Second)
			}
		}
	}
	switch kind {
	case "file":
		e.Kind = fetch.KindFile
	case "dir":
		e.Kind = fetch.KindDir
	case "cdir":
		e.Name = "." // some write its path
	case "pdir":
		e.Name = ".."
	case "":
		return e, e.Size >= 0 // what has a size is a file
	default:
		e.Kind = fetch.KindOther
	}
	return e, true
}

// splitLines returns the lines of a text, byte for byte, without empty ones and
// without their ends.
func splitLines(text string) []string {
	lines := make([]string, 0, strings.Count(text, "\n"))
	for line := range strings.Lines(text) {
		if line = strings.TrimPrefix(strings.TrimRight(line, "\r\n"), "\ufeff"); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// size reads a size in bytes; what is invalid or too large is unknown.
func size(s string) int64 {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return -1
	}
	return int64(n)
}

func isDigit(b byte) bool { return '0' <= b && b <= '9' }

// isNumber reports whether s is made of digits, and at least one.
func isNumber(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// number reads a number of one up to four digits, or returns -1.
func number(s string) int {
	if len(s) > 4 || !isNumber(s) {
		return -1
	}
	n := 0
	for i := range len(s) {
		n = n*10 + int(s[i]-'0')
	}
	return n
}
