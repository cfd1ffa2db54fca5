package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Causes of this package's errors; test for them with [errors.Is].
var (
	// ErrBeyondData means that a date or a version is outside of the data: the
	// decree of the year or the month of the version is unknown. Load or replace
	// the data.
	ErrBeyondData = errors.New("beyond the known data")

	// ErrIncomplete means that an [Estimate] lacks a part that only the caller
	// can know, or has an invalid one.
	ErrIncomplete = errors.New("incomplete estimate")

	// ErrOutside means that an update started at the given time would not be
	// wholly inside a window (R13).
	ErrOutside = errors.New("does not fit into the window")

	// ErrNever means that waiting does not help: no window is ever long enough.
	ErrNever = errors.New("never possible")
)

// An Error says why an update cannot be planned at a time, and when it can.
type Error struct {
	Op      string // "plan"
	Subject string // the update: how long it takes, and the start, in Moscow's zone and the site's
	Err     error  // wraps those of the package's sentinels that apply
	Next    string // what to do, "" if unknown

	Slot Slot // with ErrOutside: the next slot; zero if unknown

	longest time.Duration // with ErrNever: the longest window
	why     Passed        // with ErrOutside
}

// Error returns the update, the cause, and what to do.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %v", e.Op, e.Subject, e.Err)
	if e.Next != "" {
		s += "; " + e.Next
	}
	return s
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// both returns a time in Moscow's zone and, where it differs, the site's.
func both(t time.Time, local *time.Location) string {
	t = t.In(moscow)
	s := t.Format("2006-01-02 15:04 MST")
	if local == nil {
		return s
	}
	l := t.In(local)
	switch _, offset := l.Zone(); {
	case offset == 3*60*60:
		return s
	case DateOf(l) == DateOf(t):
		return s + l.Format(" (15:04 MST)")
	}
	return s + l.Format(" (2006-01-02 15:04 MST)")
}

// short prints a duration without trailing zeros: 2h30m, not 2h30m0s.
func short(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}
