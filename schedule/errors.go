package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// What an error of this package is about; ask with [errors.Is].
var (
	// ErrBeyondData means that a date or a version lies outside the data: no
	// decree is known for the year, or no month for the version. Nothing is
	// guessed then; load or replace the data.
	ErrBeyondData = errors.New("beyond the known data")

	// ErrIncomplete means that an [Estimate] leaves out a part that nobody can
	// know but the caller, or has one that makes no sense.
	ErrIncomplete = errors.New("estimate is not complete")

	// ErrOutside means that an update started at the time asked about would
	// not lie wholly inside the window (R13).
	ErrOutside = errors.New("does not fit into the window")

	// ErrNever means that waiting does not help: no window is ever long enough.
	ErrNever = errors.New("can never fit")
)

// A PlanError says why there is no window for an update at a time, and when
// there is one. It wraps those of the package's sentinels that apply.
type PlanError struct {
	Start   time.Time     // the time asked about
	Need    time.Duration // what the update needs
	Longest time.Duration // with ErrNever: the longest window there is
	Why     Passed        // with ErrOutside: what stands against Start
	Next    Slot          // with ErrOutside: the next slot; zero if none is known
	Err     error         // what the error wraps

	local *time.Location
}

// Error says what does not fit, why, and what to do, with times in Moscow's zone
// and the site's.
func (e *PlanError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "an update of %v ", short(e.Need))
	switch {
	case errors.Is(e.Err, ErrNever):
		if e.Longest < e.Need {
			fmt.Fprintf(&b, "can never fit: the longest window has %v; shorten it, or widen the hours", short(e.Longest))
		} else {
			b.WriteString("can never fit: no window is free for more than a year; check days off, quiet hours and blackout dates")
		}
	case errors.Is(e.Err, ErrOutside):
		fmt.Fprintf(&b, "does not fit at %s: %s", both(e.Start, e.local), e.Why.text())
		if !e.Next.IsZero() {
			fmt.Fprintf(&b, "; next start: %s", both(e.Next.Start, e.local))
		}
		if errors.Is(e.Err, ErrBeyondData) {
			fmt.Fprintf(&b, "; the next start is not known: %v", e.Err)
		}
	default:
		fmt.Fprintf(&b, "cannot be planned from %s on: %v", both(e.Start, e.local), e.Err)
	}
	return b.String()
}

// Unwrap returns what the error wraps.
func (e *PlanError) Unwrap() error { return e.Err }

// outside is ErrOutside together with what keeps the next slot unknown.
type outside struct{ cause error }

func (o outside) Error() string   { return o.cause.Error() }
func (o outside) Unwrap() []error { return []error{ErrOutside, o.cause} }

// both shows a time in Moscow's zone and, where it differs, the site's.
func both(t time.Time, local *time.Location) string {
	t = t.In(moscow)
	s := t.Format("2006-01-02 15:04 MST")
	if local == nil {
		return s
	}
	l := t.In(local)
	if _, offset := l.Zone(); offset == 3*60*60 {
		return s
	}
	if DateOf(l) == DateOf(t) {
		return s + l.Format(" (15:04 MST)")
	}
	return s + l.Format(" (2006-01-02 15:04 MST)")
}

// short prints a duration without the zeros that nobody reads: 2h30m, not 2h30m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
