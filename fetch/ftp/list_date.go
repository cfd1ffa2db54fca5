package ftp

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A date is the time of the last change in the fields of a line.
type date struct {
	fields int       // how many it has
	time   time.Time // zero if unknown
	sure   bool      // it cannot be anything but a date
	padded bool      // ls adds a space to it
}

// dateOf reads the date that f starts with, in any of these forms:
//
//	Dec 04 20:00   Dec 04 2019   04 Dec 2019   дек 04 2019
//	2019-12-04 20:00   2019-12-04 20:00:00.000000000 +0300
//	12-04 20:00   2019-12-04
func dateOf(f []field, now time.Time) (date, bool) {
	first := f[0].text
	if isDigit(first[0]) && strings.IndexByte(first, '-') > 0 {
		return isoDate(f, now)
	}
	if len(f) < 3 {
		return date{}, false
	}
	word, day := first, number(f[1].text)
	if day < 0 {
		word, day = f[1].text, number(first)
	}
	year := number(f[2].text)
	c, timed := readClock(f[2].text)
	switch {
	case day < 1 || day > 31 || isDigit(word[0]) || !hasLetter(word):
		return date{}, false
	case timed && c.exact || !timed && (len(f[2].text) != 4 || !isYear(year)):
		return date{}, false
	}
	d := date{fields: 3}
	m := month(word)
	switch {
	case m == 0:
		return d, true
	case timed:
		d.time = withoutYear(m, day, c, now)
	default:
		d.time = civil(year, m, day, c)
	}
	d.sure = true
	return d, true
}

// isoDate reads the styles iso, long-iso and full-iso of GNU's ls.
func isoDate(f []field, now time.Time) (date, bool) {
	d := date{fields: 1, sure: true}
	year, m, day, ok := isoDay(f[0].text)
	if !ok {
		return d, false
	}
	var c timeOfDay
	timed := false
	if len(f) > 1 {
		c, timed = readClock(f[1].text)
	}
	switch {
	case year < 0 && !timed:
		return d, false
	case year < 0:
		d.fields, d.time = 2, withoutYear(m, day, c, now)
		return d, true
	case !timed:
		d.padded = true // ls pads it to the length of the form with a time
	default:
		d.fields = 2
	}
	d.time = civil(year, m, day, c)
	if c.exact && len(f) > 2 {
		if east, ok := zone(f[2].text); ok {
			d.fields = 3
			if !d.time.IsZero() {
				d.time = d.time.Add(-east)
			}
		}
	}
	return d, true
}

// isoDay reads 2019-12-04, or 12-04 with a year of -1.
func isoDay(s string) (year int, m time.Month, day int, ok bool) {
	year = -1
	if len(s) == len("2019-12-04") && s[4] == '-' {
		if year = number(s[:4]); !isYear(year) {
			return 0, 0, 0, false
		}
		s = s[5:]
	}
	if len(s) != len("12-04") || s[2] != '-' {
		return 0, 0, 0, false
	}
	mon, day := number(s[:2]), number(s[3:])
	return year, time.Month(mon), day, mon >= 1 && mon <= 12 && day >= 1 && day <= 31
}

// isYear reports whether year is between the start of Windows' time, which some
// servers show for what they do not know, and the last year that JSON can hold
// in any time zone.
func isYear(year int) bool { return 1601 <= year && year < 9999 }

// zone reads +0300.
func zone(s string) (east time.Duration, ok bool) {
	if len(s) != len("+0300") || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	h, m := number(s[1:3]), number(s[3:])
	if h < 0 || h > 14 || m < 0 || m > 59 {
		return 0, false
	}
	east = time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	if s[0] == '-' {
		east = -east
	}
	return east, true
}

// A timeOfDay is what a line has of it.
type timeOfDay struct {
	hour, minute, second int
	exact                bool // to the second
}

// readClock reads 20:00, 20:00:00 and 20:00:00.000000000.
func readClock(s string) (c timeOfDay, ok bool) {
	hour, rest, found := strings.Cut(s, ":")
	if !found || len(hour) > 2 {
		return c, false
	}
	minute, second, exact := strings.Cut(rest, ":")
	c = timeOfDay{hour: number(hour), minute: number(minute), exact: exact}
	if exact {
		second, fraction, broken := strings.Cut(second, ".")
		if len(second) != 2 || broken && !isNumber(fraction) {
			return c, false
		}
		c.second = number(second)
	}
	return c, len(minute) == 2 && c.hour >= 0 && c.hour < 24 && c.minute >= 0 && c.minute < 60 && c.second >= 0 && c.second < 60
}

// withoutYear returns the last such day and time that is not after now. The
// server's clock and zone may be up to a day ahead of ours. Some servers
// omit the year for half a year as ls does, others for a whole one.
func withoutYear(m time.Month, day int, c timeOfDay, now time.Time) time.Time {
	latest := now.Add(24 * time.Hour)
	for year := latest.Year(); year > latest.Year()-2; year-- {
		if t := civil(year, m, day, c); !t.IsZero() && !t.After(latest) {
			return t
		}
	}
	return time.Time{}
}

// civil returns a time in UTC, or zero for a day that does not exist.
func civil(year int, m time.Month, day int, c timeOfDay) time.Time {
	t := time.Date(year, m, day, c.hour, c.minute, c.second, 0, time.UTC)
	if t.Day() != day {
		return time.Time{}
	}
	return t
}

var englishMonths = map[string]time.Month{
	"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}

// By their first three letters, which are unique in Russian in every case.
var russianMonths = map[string]time.Month{
	"янв": 1, "фев": 2, "мар": 3, "апр": 4, "май": 5, "мая": 5, "июн": 6, "июл": 7, "авг": 8, "сен": 9, "окт": 10, "ноя": 11, "дек": 12,
}

// month returns the month of an English or Russian name, full or short, in
// UTF-8 or CP1251, or 0.
func month(s string) time.Month {
	s = strings.TrimSuffix(s, ".")
	if len(s) < 3 {
		return 0
	}
	if s[0] < utf8.RuneSelf {
		key := [3]byte{s[0] | 0x20, s[1] | 0x20, s[2] | 0x20}
		m := englishMonths[string(key[:])]
		if m == 0 {
			return 0
		}
		if full := m.String(); len(s) > len(full) || !strings.EqualFold(s, full[:len(s)]) {
			return 0 // "marras" is November in Finnish
		}
		return m
	}
	var space [8]byte
	key := space[:0]
	if utf8.ValidString(s) {
		for i, r := range s {
			if i >= 6 { // three letters of two bytes
				break
			}
			key = utf8.AppendRune(key, unicode.ToLower(r))
		}
	} else {
		for i := range 3 {
			if s[i] < 0xc0 { // not a letter of CP1251
				return 0
			}
			key = utf8.AppendRune(key, 'а'+rune(s[i]|0x20)-0xe0)
		}
	}
	return russianMonths[string(key)]
}

// hasLetter reports whether s can be a word of some language in some
// encoding.
func hasLetter(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; s[i] >= utf8.RuneSelf || 'a' <= c && c <= 'z' {
			return true
		}
	}
	return false
}
