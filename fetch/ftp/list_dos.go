package ftp

import (
	"strconv"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
)

// parseDOS reads a line as IIS writes it, in the manner of DIR:
//
//	12-04-19  08:00PM       <DIR>          7.12.100
//	12-04-2019  20:00             5000000000 Setup.exe
func parseDOS(line string) (fetch.Entry, bool) {
	var room [3]field
	f := fields(line, room[:0])
	if len(f) < 3 {
		return fetch.Entry{}, false
	}
	day, half := f[0].text, ""
	hm := f[1].text
	if n := len(hm); n > 2 && (hm[n-1]|0x20) == 'm' {
		hm, half = hm[:n-2], hm[n-2:]
	}
	c, ok := clockOf(hm)
	if !ok || c.exact || !c.turn(half) {
		return fetch.Entry{}, false
	}
	when, ok := dosDay(day, c)
	if !ok {
		return fetch.Entry{}, false
	}
	e := fetch.Entry{Size: -1, Time: when}
	what, rest := f[2].text, line[f[2].end:]
	switch {
	case isTag(what):
		e.Kind = fetch.KindOther // a junction or a link
		if what == "<DIR>" {
			e.Kind = fetch.KindFolder
		}
		e.Name = afterTag(what, rest)
	default:
		digits := strings.ReplaceAll(what, ",", "") // 9,730
		if !isNumber(digits) || what[0] == ',' {
			return fetch.Entry{}, false
		}
		e.Size = size(digits)
		e.Name = strings.TrimPrefix(rest, " ")
	}
	return e, e.Name != ""
}

// dosDay reads 12-04-19, 12-04-2019 and 2019-12-04. A day that no calendar
// has, as where a server puts the day first, gives a zero time.
func dosDay(s string, c clocked) (time.Time, bool) {
	a, rest, _ := strings.Cut(s, "-")
	b, z, _ := strings.Cut(rest, "-")
	year, m, day := z, a, b
	if len(a) == 4 {
		year, m, day = a, b, z
	}
	y, mon, d := number(year), number(m), number(day)
	switch {
	case y < 0 || len(m) != 2 || mon < 0 || len(day) != 2 || d < 0:
		return time.Time{}, false
	case len(year) == 2 && y < 70:
		y += 2000
	case len(year) == 2:
		y += 1900
	case len(year) != 4:
		return time.Time{}, false
	}
	if mon < 1 || mon > 12 {
		return time.Time{}, true
	}
	return civil(y, time.Month(mon), d, c), true
}

// turn makes 24 hours of 12. It reports whether there is such a time.
func (c *clocked) turn(half string) bool {
	switch half {
	case "":
		return true
	case "AM", "PM", "am", "pm":
	default:
		return false
	}
	if c.hour < 1 || c.hour > 12 {
		return false
	}
	c.hour %= 12
	if half[0]|0x20 == 'p' {
		c.hour += 12
	}
	return true
}

// isTag reports whether s stands in the size's place for what is no file:
// <DIR>, <JUNCTION>, <SYMLINK>, <SYMLINKD>.
func isTag(s string) bool {
	if len(s) < 3 || s[0] != '<' || s[len(s)-1] != '>' {
		return false
	}
	for _, b := range []byte(s[1 : len(s)-1]) {
		if b < 'A' || b > 'Z' {
			return false
		}
	}
	return true
}

// afterTag returns the name after a tag. The tag's column is 15 wide; blanks
// beyond it belong to the name. Where a server has another width, all go.
func afterTag(tag, rest string) string {
	const width = 15
	if pad := width - len(tag); pad > 0 && len(rest) > pad && strings.Trim(rest[:pad], " ") == "" {
		return rest[pad:]
	}
	return strings.TrimLeft(rest, " ")
}

// parseEPLF reads a line of the "easily parsed list format", facts and then
// a tab before the name:
//
//	+i8388621.48594,m825718503,r,s280,\tSetup.exe
func parseEPLF(line string) (fetch.Entry, bool) {
	facts, name, found := strings.Cut(line[1:], "\t")
	if !found || name == "" {
		return fetch.Entry{}, false
	}
	e := fetch.Entry{Name: name, Kind: fetch.KindOther, Size: -1}
	for fact := range strings.SplitSeq(facts, ",") {
		switch {
		case fact == "/":
			e.Kind = fetch.KindFolder
		case fact == "r":
			e.Kind = fetch.KindFile
		case strings.HasPrefix(fact, "s"):
			e.Size = size(fact[1:])
		case strings.HasPrefix(fact, "m"):
			const latest = 253402300799 // the last second with a year of four digits
			if n, err := strconv.ParseInt(fact[1:], 10, 64); err == nil && n > 0 && n <= latest {
				e.Time = time.Unix(n, 0).UTC()
			}
		}
	}
	return e, true
}
