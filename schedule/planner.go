package schedule

import (
	"errors"
	"fmt"
	"time"
)

// A Planner finds the time for an update: inside the support hours (R13) and
// the site's quiet hours (R12), outside of blackout dates, and long enough for the
// whole [Estimate]. The zero Planner plans by the regulation alone.
//
// A Planner is a value without state and safe for concurrent use.
type Planner struct {
	Hours Hours

	// QuietHours are when the site does not need the complex, in its own zone.
	// No list means at any time.
	QuietHours []Daily

	// Blackouts are the dates, in the site's zone, without updates.
	Blackouts []Period

	// Local is the site's zone; nil means Moscow's. See [MSK].
	Local *time.Location
}

// Daily is a half-open span of each day, or of some weekdays. Times of day
// are as in [Hours]: if To is not later than From, it is on the next day.
type Daily struct {
	From, To time.Duration
	Weekdays []time.Weekday // on which it begins; none means all
}

// A Slot is a span of time into which an update fits.
type Slot struct {
	Start       time.Time // the first time at which the update can start
	LatestStart time.Time // the last one
	End         time.Time // when the window closes

	local *time.Location
}

// String returns the slot in Moscow's zone and, where it differs, the site's.
func (s Slot) String() string {
	if s.Start.IsZero() {
		return "no slot"
	}
	return fmt.Sprintf("start from %s to %s", both(s.Start, s.local), both(s.LatestStart, s.local))
}

// A Plan is what [Planner.Plan] returns.
type Plan struct {
	Slots    []Slot   // in order
	Passed   []Passed // the days without a slot before the last slot
	Warnings []string // for people: R14, data that end soon
}

// Next returns the first slot from a time on.
//
// If there is none, the error is an [*Error] that wraps [ErrNever] if waiting does
// not help, and [ErrBeyondData] if the calendar ends before the first slot. An
// estimate that lacks a part is [ErrIncomplete].
func (p Planner) Next(from time.Time, e Estimate) (Slot, error) {
	var r planner
	need, t, err := p.resolve(&e, &r, from)
	if err != nil {
		return Slot{}, err
	}
	start, end, err := r.slot(t, need)
	if err != nil {
		return Slot{}, r.fail(from, need, err)
	}
	return r.made(start, end, need), nil
}

// Plan returns the first n slots from a time on, and the days before the last of
// them that have none, with the reasons. Errors are those of [Planner.Next]; but
// if the calendar ends after the first slot, Plan returns the slots up to there
// with a warning.
func (p Planner) Plan(from time.Time, e Estimate, n int) (Plan, error) {
	var r planner
	need, t, err := p.resolve(&e, &r, from)
	if err != nil {
		return Plan{}, err
	}
	var plan Plan
	if e.FirstOfYear {
		w := "the first version of a year (R14): read its additional requirements first, and expect more changes and a longer update than usual"
		if e.FirstOfYearExtra == 0 {
			w += "; no extra time is planned for it"
		}
		plan.Warnings = append(plan.Warnings, w)
	}
	if c, ok := r.hours.days.(interface{ Warning(time.Time) string }); ok {
		if w := c.Warning(from); w != "" {
			plan.Warnings = append(plan.Warnings, w)
		}
	}
	var spans []span
	for after := t; len(spans) < max(n, 1); {
		start, end, err := r.slot(after, need)
		if err != nil && len(spans) > 0 {
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("further slots are unknown: %v", err))
			break
		}
		if err != nil {
			return Plan{}, r.fail(from, need, err)
		}
		spans = append(spans, span{start, end})
		plan.Slots = append(plan.Slots, r.made(start, end, need))
		after = end
	}
	plan.Passed, err = r.passed(t, need, spans)
	return plan, err
}

// Fits returns nil if an update with the given start ends inside a window, or
// exactly when the window closes. It is also the last check before the installer
// starts: see [Estimate].BackupDone.
//
// Otherwise the error is that of [Planner.Next], or an [*Error] that wraps
// [ErrOutside] and has the reason and, if known, the next slot.
func (p Planner) Fits(start time.Time, e Estimate) error {
	var r planner
	need, t, err := p.resolve(&e, &r, start)
	if err != nil {
		return err
	}
	from, end, err := r.next(t, t+far*day)
	if err == nil && from == t && end-from >= need {
		return nil
	}
	why, whyErr := r.whyNot(t, need)
	if whyErr != nil {
		return r.fail(start, need, whyErr)
	}
	failed := r.fail(start, need, fmt.Errorf("%w: %s", ErrOutside, why.Why()))
	failed.why = why
	if from, end, err = r.slot(t, need); err == nil {
		failed.Slot = r.made(from, end, need)
		failed.Next = "start at " + both(failed.Slot.Start, r.local)
		return failed
	}
	later := r.fail(start, need, err)
	failed.Err, failed.longest, failed.Next = fmt.Errorf("%w, without a later slot: %w", failed.Err, later.Err), later.longest, later.Next
	return failed
}

// made converts a span that is long enough to a Slot.
func (r *planner) made(start, end, need int64) Slot {
	first := r.hours.time(start)
	length := time.Duration(end - start)
	return Slot{Start: first, LatestStart: first.Add(length - time.Duration(need)), End: first.Add(length), local: r.local}
}

// fail returns the error of an update that cannot be planned. If err says that
// no slot was found, it finds out whether waiting would ever help.
func (r *planner) fail(start time.Time, need int64, err error) *Error {
	e := &Error{Op: "plan", Subject: fmt.Sprintf("an update of %v at %s", short(time.Duration(need)), both(start, r.local)), Err: err}
	t, bad := instant(start)
	if bad != nil || errors.Is(err, ErrOutside) {
		return e
	}
	e.longest = time.Duration(r.ideal().longest(t))
	switch {
	case int64(e.longest) < need:
		e.Err = fmt.Errorf("%w: the longest window has %v", ErrNever, short(e.longest))
		e.Next = "shorten the update or extend the hours"
	case errors.Is(err, ErrNever):
		e.Err = fmt.Errorf("%w: no window in %d days is long enough", ErrNever, far)
		e.Next = "check days off, quiet hours and blackout dates"
	}
	return e
}
