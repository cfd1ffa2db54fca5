package schedule

import (
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/version"
)

// A Sighting says that a version was there, and since when it is known to be.
type Sighting struct {
	Version version.Version

	// Seen is when it was first seen on the server; zero if that is not known,
	// as on the first look ever. It makes a difference, since a number alone
	// never tells a scheduled version from an unscheduled one (R6).
	Seen time.Time
}

// State is how things stand with the releases expected.
type State uint8

// The states.
const (
	UpToDate State = iota // all that was expected is there
	Due                   // a release is due, and has some grace left
	Late                  // it did not come: the testers have not passed it (R5)
)

// String returns the state in words.
func (s State) String() string {
	switch s {
	case UpToDate:
		return "up to date"
	case Due:
		return "due"
	case Late:
		return "late"
	}
	return "unknown state"
}

// Status is what [Calendar.Status] returns.
type Status struct {
	State   State
	Since   time.Time       // since when the release is due or late; zero if up to date
	Missing Release         // the first expected release that did not come; zero if up to date
	Latest  version.Version // the newest one seen that is no beta
	Next    Release         // the next one that is not due yet; zero if the data do not reach so far
}

// String says it in one line.
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

// early is how long before its time a release may come.
const early = 12 * time.Hour

// Status tells whether the releases that are due at a time have come, from the
// versions that were seen until then, in any order.
//
// A release has come if any version was first seen at, after, or up to 12 hours before
// its time; or if a version whose time is not known has its number or a later
// one. A version that nobody expected is therefore never an anomaly (R6), and a
// 300 on the third Wednesday will do though there never was a 200. Betas and
// sightings later than now do not count. With no sighting at all, just the last
// release that was due is missing.
func (c Calendar) Status(now time.Time, seen ...Sighting) (Status, error) {
	c, err := c.filled(now)
	if err != nil {
		return Status{}, err
	}
	var s Status
	var latestTime time.Time
	var untimed version.Version
	for _, x := range seen {
		if _, beta := x.Version.Beta(); beta || x.Version.IsZero() || x.Seen.After(now) {
			continue
		}
		if x.Version.Compare(s.Latest) > 0 {
			s.Latest = x.Version
		}
		if x.Seen.IsZero() && x.Version.Compare(untimed) > 0 {
			untimed = x.Version
		}
		if x.Seen.After(latestTime) {
			latestTime = x.Seen
		}
	}

	// From the last one that is due back to the first one that is there.
	for r, err := range c.Before(now.Add(1)) {
		if err != nil {
			if s.Missing.IsZero() {
				return Status{}, err
			}
			break // late since the beginning of the data, or longer
		}
		seenSince := !latestTime.IsZero() && !latestTime.Before(r.Due.Add(-early))
		if seenSince || untimed.Compare(r.Version) >= 0 {
			break
		}
		s.Missing = r
		if s.Latest.IsZero() {
			break
		}
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

// lateSince returns when a release that is due becomes late: "not on Wednesday
// evening" (R5) is from midnight on.
func (c Calendar) lateSince(r Release) time.Time {
	if c.Grace > 0 {
		return r.Due.Add(c.Grace)
	}
	return DateOf(r.Due).AddDays(1).In(c.Zone)
}

// How often to look for a release.
const (
	lookSeldom = time.Hour
	lookOften  = 5 * time.Minute
	lookEarly  = 30 * time.Minute
)

// NextLook says when to look for releases again: every few minutes on the
// evening of one (R1), from a little before it is due until it is there or late
// (R5), and every hour otherwise. Beyond the data every hour must do.
func (c Calendar) NextLook(now time.Time, seen ...Sighting) time.Time {
	next := now.Add(lookSeldom)
	st, err := c.Status(now, seen...)
	switch early := st.Next.Due.Add(-lookEarly); {
	case err != nil:
	case st.State == Due || !st.Next.IsZero() && !now.Before(early):
		return now.Add(lookOften)
	case !st.Next.IsZero() && early.Before(next):
		return early
	}
	return next
}
