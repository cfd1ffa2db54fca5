package schedule

import (
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/version"
)

// A Sighting is a version on the server.
type Sighting struct {
	Version version.Version

	// Seen is when the version was first seen; zero if that is unknown, as on
	// the first check ever. It matters because a number alone does not show
	// whether a version is scheduled (R6).
	Seen time.Time
}

// State is the state of the expected releases.
type State uint8

// The states.
const (
	UpToDate State = iota // all that was expected is there
	Due                   // a release is due, and its grace has not passed
	Late                  // it did not come: the testers have not passed it (R5)
)

// String returns the state in words.
func (s State) String() string {
	return [...]string{UpToDate: "up to date", Due: "due", Late: "late", Late + 1: "unknown state"}[min(s, Late+1)]
}

// Status is what [Calendar.Status] returns.
type Status struct {
	State   State
	Since   time.Time // since when the release is due or late; zero if up to date
	Missing Release   // the first expected release that did not come; zero if up to date
	Next    Release   // the next one that is not due yet; zero beyond the data
}

// String returns the status in one line.
func (s Status) String() string {
	text := s.State.String()
	if s.State != UpToDate {
		text += fmt.Sprintf(" since %s: %v", s.Since.Format("Mon 2006-01-02 15:04 MST"), s.Missing)
	}
	if !s.Next.IsZero() {
		text += fmt.Sprintf("; next: %v", s.Next)
	}
	return text
}

// Status reports whether the releases that are due at a time have come, by the
// versions seen until then, in any order.
//
// A release has come if any version was first seen 12 hours before its
// time or later still, or if a version whose time is unknown has its number or a later
// one. So an unscheduled version is not an anomaly (R6), and 300 on the third
// Wednesday is enough even if there never was a 200. Betas and sightings later
// than now are ignored. Without sightings only the last release that was due is
// missing.
func (c Calendar) Status(now time.Time, seen ...Sighting) (Status, error) {
	c, err := c.filled(now)
	if err != nil {
		return Status{}, err
	}
	var s Status
	if s.Missing, err = c.missing(now, newArrivals(now, seen)); err != nil {
		return Status{}, err
	}
	if !s.Missing.IsZero() {
		s.State, s.Since = Due, s.Missing.Due
		if late := c.lateSince(s.Missing); !now.Before(late) {
			s.State, s.Since = Late, late
		}
	}
	for r, err := range c.From(now.Add(1)) {
		if err == nil {
			s.Next = r
		}
		break
	}
	return s, nil
}

// arrivals summarizes sightings.
type arrivals struct {
	any     bool
	last    time.Time       // when the last one was first seen, of those with a time
	untimed version.Version // the newest one without a time
}

func newArrivals(now time.Time, seen []Sighting) (a arrivals) {
	for _, x := range seen {
		if x.Version.IsBeta() || x.Version.IsZero() || x.Seen.After(now) {
			continue
		}
		a.any = true
		if x.Seen.IsZero() && x.Version.Compare(a.untimed) > 0 {
			a.untimed = x.Version
		}
		if x.Seen.After(a.last) {
			a.last = x.Seen
		}
	}
	return a
}

// early is how long before its time a release may come.
const early = 12 * time.Hour

// cover reports whether r has come.
func (a arrivals) cover(r Release) bool {
	return !a.last.IsZero() && !a.last.Before(r.Due.Add(-early)) || a.untimed.Compare(r.Version) >= 0
}

// missing returns the first release of those due that has not come: it goes
// back from the last one to one that has.
func (c Calendar) missing(now time.Time, a arrivals) (missing Release, err error) {
	for r, err := range c.Before(now.Add(1)) {
		switch {
		case err != nil && missing.IsZero():
			return Release{}, err
		case err != nil: // late since the data begin, or longer
			return missing, nil
		case a.cover(r):
			return missing, nil
		case !a.any:
			return r, nil
		}
		missing = r
	}
	return missing, nil
}

// lateSince returns when a release that is due becomes late: "not on Wednesday
// evening" (R5) is from midnight on.
func (c Calendar) lateSince(r Release) time.Time {
	if c.Grace > 0 {
		return r.Due.Add(c.Grace)
	}
	return DateOf(r.Due).AddDays(1).In(c.Zone)
}

// Intervals of checks for a release.
const (
	checkSeldom = time.Hour
	checkOften  = 5 * time.Minute
	checkEarly  = 30 * time.Minute // before a release is due
)

// NextCheck returns when to check for releases again: every five minutes from
// half an hour before a release is due (R1) until it is there or late (R5), and
// every hour otherwise, also beyond the data.
func (c Calendar) NextCheck(now time.Time, seen ...Sighting) time.Time {
	next := now.Add(checkSeldom)
	st, err := c.Status(now, seen...)
	switch begin := st.Next.Due.Add(-checkEarly); {
	case err != nil:
	case st.State == Due || !st.Next.IsZero() && !now.Before(begin):
		return now.Add(checkOften)
	case !st.Next.IsZero() && begin.Before(next):
		return begin
	}
	return next
}
