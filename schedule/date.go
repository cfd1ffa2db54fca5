package schedule

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Date is a day of the calendar, without a time and a zone. Dates are
// comparable with ==; [Date.Compare] orders them. The zero Date means "no date".
type Date struct {
	n int32 // days, with 1 for 0001-01-01, a Monday; so n%7 is the weekday
}

// daysToUnix is the n of the day before 1970-01-01, so that n - daysToUnix - 1
// counts days since then.
const daysToUnix = 719162

const (
	second = int64(time.Second)
	hour   = int64(time.Hour)
	day    = 24 * hour
)

// NewDate returns a date. It normalizes a day or month out of range as
// [time.Date] does; outside of the years 1 to 9999 the result is zero.
func NewDate(year int, month time.Month, day int) Date {
	return DateOf(time.Date(year, month, day, 0, 0, 0, 0, time.UTC))
}

// DateOf returns the date of t in t's own zone. The date that matters for
// support hours is DateOf(t.In(MSK(0))).
func DateOf(t time.Time) Date {
	_, offset := t.Zone()
	n := floorDiv(t.Unix()+int64(offset), 24*60*60) + daysToUnix + 1
	if n < 1 || n > daysToUnix+1+2932896 { // 9999-12-31
		return Date{}
	}
	return Date{int32(n)}
}

// parseDate parses a date such as 2026-12-31.
func parseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() < 1 {
		if len(s) > 40 {
			s = s[:40] + "..."
		}
		return Date{}, fmt.Errorf("invalid date %q; write it as 2026-12-31", s)
	}
	return DateOf(t), nil
}

// Date returns the year, month and day.
func (d Date) Date() (year int, month time.Month, day int) { return d.In(time.UTC).Date() }

// Weekday returns the day of the week.
func (d Date) Weekday() time.Weekday { return time.Weekday(d.n % 7) }

// AddDays returns the date n days later, or earlier if n is negative.
func (d Date) AddDays(n int) Date { return Date{d.n + int32(n)} } //nolint:gosec // 2^31 days are six million years

// Compare returns -1 if d is before e, 0 if they are equal, +1 if it is after.
func (d Date) Compare(e Date) int { return cmp.Compare(d.n, e.n) }

// In returns the time at which d begins in a zone: midnight, unless the clocks
// are put forward at midnight.
func (d Date) In(zone *time.Location) time.Time {
	utc := time.Unix((int64(d.n)-daysToUnix-1)*(24*60*60), 0).UTC()
	if zone == time.UTC {
		return utc
	}
	y, m, dd := utc.Date()
	return time.Date(y, m, dd, 0, 0, 0, 0, zone)
}

// String returns d in the form 2026-12-31, and "no date" if d is zero.
func (d Date) String() string {
	if d.n == 0 {
		return "no date"
	}
	return d.In(time.UTC).Format(time.DateOnly)
}

// MarshalText returns d in the form 2026-12-31, and an empty text if d is zero.
func (d Date) MarshalText() ([]byte, error) {
	if d.n == 0 {
		return []byte{}, nil
	}
	return []byte(d.String()), nil
}

// UnmarshalText parses the form 2026-12-31; an empty text is the zero Date. If
// it fails, d is unchanged.
func (d *Date) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Date{}
		return nil
	}
	e, err := parseDate(string(text))
	if err == nil {
		*d = e
	}
	return err
}

// A Period is a run of days with the reason why it is special.
type Period struct {
	First Date   `json:"first"`
	Last  Date   `json:"last,omitzero"` // included; zero if First is the only day
	Note  string `json:"note"`          // for people: "presidential decree 206", "end of quarter"
}

// bounds returns the first and the last day.
func (p Period) bounds() (first, last Date) {
	if p.Last.n == 0 {
		return p.First, p.First
	}
	return p.First, p.Last
}

func (p Period) check() error {
	first, last := p.bounds()
	if first.n == 0 || last.n < first.n {
		return fmt.Errorf("period %q from %v to %v has no days; set its first day and, if it is longer, its last", p.Note, first, last)
	}
	return nil
}

// moscow is UTC+3 all year, as Moscow has been since 26 October 2014; it is
// fixed here so that no time zone database is needed.
var moscow = time.FixedZone("MSK", 3*60*60)

// MSK returns the zone that is the given hours ahead of Moscow's, with its name
// in Russia: MSK, MSK-1 for Kaliningrad, MSK+9 for Kamchatka. Russia has no
// daylight saving time, so this needs no time zone database.
func MSK(hours int) *time.Location {
	if hours == 0 {
		return moscow
	}
	return time.FixedZone(fmt.Sprintf("MSK%+d", hours), (3+hours)*60*60)
}

// ParseZone parses the name of one of Russia's zones in the form of [MSK], from
// MSK-1 to MSK+9.
func ParseZone(name string) (*time.Location, error) {
	rest, ok := strings.CutPrefix(name, "MSK")
	rest = cmp.Or(rest, "+0")
	hours, err := strconv.Atoi(rest)
	if !ok || err != nil || rest[0] != '+' && rest[0] != '-' || hours < -1 || hours > 9 {
		return nil, fmt.Errorf("unknown zone %q; use one from MSK-1 to MSK+9", name)
	}
	return MSK(hours), nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
