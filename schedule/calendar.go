package schedule

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/aspupdate/aspupdate/version"
)

// A Calendar has the rule by which releases are expected (R1). The zero Calendar
// has R1's: the first and the third Wednesday of each month, at 20:00 Moscow time.
//
// A Calendar is a value without state of its own and safe for concurrent use.
type Calendar struct {
	// Weekday and Weeks are the days of each month: Wednesday and {1, 3} are its
	// first and third Wednesday. Weeks are in order, from 1 to 5. If there are
	// none, Weekday and At are ignored, and the rule is R1's.
	Weekday time.Weekday
	Weeks   []int

	At   time.Duration  // the time of day, as the time since midnight
	Zone *time.Location // nil means Moscow, UTC+3

	// OnDayOff is the policy on releases that fall on a day off.
	OnDayOff OnDayOff

	// Grace is the time from when a release is due to when it is late. Zero
	// means until midnight.
	Grace time.Duration

	Numbering Numbering
	Workdays  Workdays // nil means [Russia]
}

// OnDayOff is what happens to a release that falls on a day off. R1 does not
// specify it, so the zero value, Keep, moves nothing.
type OnDayOff uint8

// The policies on days off.
const (
	Keep        OnDayOff = iota // expected on the day off; see Release.Day
	NextWorkday                 // expected at the same time on the next working day
	Skip                        // not expected; the month's other releases get the numbers
)

// Mondays returns the calendar of R2's examples: the first and the third Monday
// of each month, at 20:00 Moscow time.
func Mondays() Calendar { return rule(time.Monday) }

func rule(w time.Weekday) Calendar {
	return Calendar{Weekday: w, Weeks: []int{1, 3}, At: 20 * time.Hour}
}

// A Release is an expected release.
type Release struct {
	// Version is its number, unless an unscheduled one (R6) comes before it in
	// its month.
	Version version.Version
	Due     time.Time // in the calendar's zone
	Date    Date      // by the rule; Due is on a later date if the release was moved

	// Day describes Date. Its Kind is Unknown where the calendar of working days
	// has no data and the policy is Keep, which does not need it.
	Day Day
}

// IsZero reports whether r is the zero Release, "no release".
func (r Release) IsZero() bool { return r.Due.IsZero() }

// String returns the number, when it is due, and whether that is a day off.
func (r Release) String() string {
	if r.IsZero() {
		return "no release"
	}
	s := fmt.Sprintf("%v due %s", r.Version, r.Due.Format("Mon 2006-01-02 15:04 MST"))
	if DateOf(r.Due) != r.Date {
		return fmt.Sprintf("%s, moved from %v (%v)", s, r.Date, r.Day)
	}
	if r.Day.Kind != Unknown && !r.Day.Kind.Working() {
		s += fmt.Sprintf(" (%v)", r.Day)
	}
	return s
}

// From yields the expected releases that are due at t or later, in order and
// lazily, without end. An error ends it: it wraps [ErrBeyondData] where the data
// of the numbering end, or those of the calendar of working days unless the
// policy is Keep, and [ErrNever] if two years have no release.
func (c Calendar) From(t time.Time) iter.Seq2[Release, error] {
	return func(yield func(Release, error) bool) {
		c, err := c.filled(t)
		if err != nil {
			yield(Release{}, err)
			return
		}
		m := monthOf(t.In(c.Zone))
		if c.OnDayOff == NextWorkday {
			// Releases may have been moved into this month from earlier ones.
			for {
				before, err := c.month(m - 1)
				if err != nil || len(before) == 0 || before[len(before)-1].Due.Before(t) {
					break
				}
				m--
			}
		}
		c.yield(m, +1, func(r Release) bool { return !r.Due.Before(t) }, yield)
	}
}

// Before yields the expected releases that were due before t, the latest first
// and lazily. An error ends it, as in [Calendar.From].
func (c Calendar) Before(t time.Time) iter.Seq2[Release, error] {
	return func(yield func(Release, error) bool) {
		c, err := c.filled(t)
		if err != nil {
			yield(Release{}, err)
			return
		}
		c.yield(monthOf(t.In(c.Zone)), -1, func(r Release) bool { return r.Due.Before(t) }, yield)
	}
}

// yield goes through the months from m on, in steps of 1 or -1.
func (c Calendar) yield(m, step int, wanted func(Release) bool, yield func(Release, error) bool) {
	for empty := 0; empty < 24; m += step {
		rs, err := c.month(m)
		if err != nil {
			yield(Release{}, err)
			return
		}
		empty++
		for i := range rs {
			r := rs[i]
			if step < 0 {
				r = rs[len(rs)-1-i]
			}
			if wanted(r) {
				empty = 0
				if !yield(r, nil) {
					return
				}
			}
		}
	}
	yield(Release{}, fmt.Errorf("cannot find a release in two years: %w; check the rule and the days off", ErrNever))
}

// filled returns the calendar with its defaults filled in.
func (c Calendar) filled(t time.Time) (Calendar, error) {
	if len(c.Weeks) == 0 {
		r := rule(time.Wednesday)
		c.Weekday, c.Weeks, c.At = r.Weekday, r.Weeks, r.At
	}
	if c.Zone == nil {
		c.Zone = moscow
	}
	if c.Workdays == nil {
		c.Workdays = Russia()
	}
	for i, w := range c.Weeks {
		if w < 1 || w > 5 || i > 0 && w <= c.Weeks[i-1] {
			return c, fmt.Errorf("invalid weeks %v of the month; list them in order, from 1 to 5", c.Weeks)
		}
	}
	switch {
	case c.Weekday < 0 || c.Weekday > 6 || c.At < 0 || c.At >= 24*time.Hour:
		return c, fmt.Errorf("invalid weekday %d or time %v of a release; use Sunday to Saturday and a time of day", int(c.Weekday), c.At)
	case c.OnDayOff > Skip || c.Grace < 0:
		return c, fmt.Errorf("invalid policy on days off %d or grace %v; use Keep, NextWorkday or Skip, and a grace of 0 or more", c.OnDayOff, c.Grace)
	}
	_, err := instant(t)
	return c, err
}

// monthOf counts months, from January of the year 0.
func monthOf(t time.Time) int { return t.Year()*12 + int(t.Month()) - 1 }

// month returns the expected releases of a month of the rule, in order; by
// NextWorkday they may be due in a later one.
func (c Calendar) month(m int) ([]Release, error) {
	if m < 12 || m >= 9999*12 {
		return nil, fmt.Errorf("year %d is %w of any calendar", m/12, ErrBeyondData)
	}
	var out []Release
	for _, week := range c.Weeks {
		first := NewDate(m/12, time.Month(m%12+1), 1)
		date := first.AddDays((int(c.Weekday-first.Weekday())+7)%7 + 7*(week-1))
		if _, month, _ := date.Date(); int(month) != m%12+1 {
			continue // a fifth one that the month does not have
		}
		d, err := c.Workdays.Day(date)
		if err != nil && (c.OnDayOff != Keep || !errors.Is(err, ErrBeyondData)) {
			return nil, err
		}
		due := date
		if !d.Kind.Working() && c.OnDayOff == Skip {
			continue
		}
		if !d.Kind.Working() && c.OnDayOff == NextWorkday {
			if due, err = c.workday(date); err != nil {
				return nil, err
			}
		}
		v, err := c.Numbering.version(m, len(out)+1)
		if err != nil {
			return nil, err
		}
		out = append(out, Release{Version: v, Due: clock(due, int64(c.At), c.Zone), Date: date, Day: d})
	}
	return out, nil
}

// workday returns the next working day after d.
func (c Calendar) workday(d Date) (Date, error) {
	for range far {
		d = d.AddDays(1)
		if a, err := c.Workdays.Day(d); err != nil || a.Kind.Working() {
			return d, err
		}
	}
	return d, fmt.Errorf("cannot find a working day in %d days before %v: %w; check the calendar given", far, d, ErrNever)
}
