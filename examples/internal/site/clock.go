package site

import (
	"time"

	"github.com/aspupdate/aspupdate/schedule"
)

// moscow is the zone of the support hours (R13).
var moscow = schedule.MSK(0)

// A Clock formats times for people at a site: in Moscow's zone, and beside it in
// the site's.
type Clock struct {
	Local *time.Location // nil means Moscow's
}

// Clock returns the clock of the site.
func (c *Config) Clock() Clock { return Clock{c.Window.zone()} }

// Time returns date and time to the minute.
func (c Clock) Time(t time.Time) string {
	s := t.In(moscow).Format("2006-01-02 15:04 MST")
	if c.Local != nil {
		form := " (15:04 here)"
		if t.In(moscow).Day() != t.In(c.Local).Day() {
			form = " (01-02 15:04 here)"
		}
		s += t.In(c.Local).Format(form)
	}
	return s
}

// Second returns the time of day to the second.
func (c Clock) Second(t time.Time) string {
	if c.Local == nil {
		return t.In(moscow).Format("15:04:05")
	}
	return t.In(moscow).Format("15:04:05 MST") + t.In(c.Local).Format(" (15:04 here)")
}

// Hours returns a span of one day.
func (c Clock) Hours(from, until time.Time) string {
	s := from.In(moscow).Format("15:04-") + until.In(moscow).Format("15:04 MST")
	if c.Local != nil {
		s += from.In(c.Local).Format(" (15:04-") + until.In(c.Local).Format("15:04 here)")
	}
	return s
}
