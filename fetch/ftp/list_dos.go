package ftp

import (
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
)

// parseDOS reads a line as IIS writes it, in the format of DIR:
//
//	12-04-19  08:00PM       <DIR>          7.12.100
//	12-04-2019  20:00             5000000000 Setup.exe
//	04.12.2019  20:00       <DIR>          7.12.100
func parseDOS(line string) (fetch.Entry, bool) {
	var space [3]field
	f := fields(line, space[:0])
	if len(f) < 3 {
		return fetch.Entry{}, false
	}
	day, half := f[0].text, ""
	hm := f[1].text
	if n := len(hm); n > 2 && (hm[n-1]|0x20) == 'm' {
		hm, half = hm[:n-2], hm[n-2:]
	}
	c, ok := readClock(hm)
	if !ok || c.exact || !c.setHalf(half) {
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
			e.Kind = fetch.KindDir
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

// dosDay reads 12-04-19, 12-04-2019, 12/04/2019 and 2019-12-04, and as Russian
// systems write it 04.12.2019. A day that does not exist, as where a server puts
// the day first, is a zero time.
func dosDay(s string, c timeOfDay) (time.Time, bool) {
	sep := "-"
	for _, other := range []string{".", "/"} {
		if strings.Contains(s, other) {
			sep = other
		}
	}
	a, rest, _ := strings.Cut(s, sep)
	b, z, _ := strings.Cut(rest, sep)
	year, m, day := z, a, b
	if sep == "." {
		m, day = b, a
	}
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

// setHalf converts 12 hours with AM or PM into 24. It reports whether the time
// exists.
func (c *timeOfDay) setHalf(half string) bool {
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

// isTag reports whether s is in the size's place for what is not a file:
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

// afterTag returns the name after a tag. The tag's column is 15 wide; spaces
// after it belong to the name. With another width, all spaces are dropped.
func afterTag(tag, rest string) string {
	const width = 15
	if pad := width - len(tag); pad > 0 && len(rest) > pad && strings.Trim(rest[:pad], " ") == "" {
		return rest[pad:]
	}
	return strings.TrimLeft(rest, " ")
}
