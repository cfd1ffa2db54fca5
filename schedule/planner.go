package schedule

import (
	"fmt"
	"time"
)

// A Planner finds the time for an update: inside the support's hours (R13), the
// site's quiet hours (R12), off the blackout dates, and long enough for the whole
// [Estimate]. The zero Planner plans by the regulation alone.
//
// A Planner is a value without state of its own and safe for concurrent use.
type Planner struct {
	Hours Hours

	// QuietHours are when the site can do without the complex, by its own
	// clocks. No list means at any time.
	QuietHours []Daily

	// Blackouts are the dates, by the site's clocks, that no update may touch.
	Blackouts []Period

	// Local is the site's zone; nil means Moscow's. See [MSK].
	Local *time.Location
}

// Daily is a span of every day, or of some weekdays, half open. Times of day
// are as in [Hours]: if To is not later than From, it is the next day's.
type Daily struct {
	From, To time.Duration
	Weekdays []time.Weekday // on which it begins; none means on all
}

// A Slot is a span of time with room for an update.
type Slot struct {
	Start       time.Time // the first moment at which an update may start
	LatestStart time.Time // the last one, which is as good as any
	End         time.Time // when the window closes
	Local       *time.Location
}

// IsZero reports whether s is no slot at all.
func (s Slot) IsZero() bool { return s.Start.IsZero() }

// String shows the slot by Moscow's clocks and, where they differ, the site's.
func (s Slot) String() string {
	if s.IsZero() {
		return "no slot"
	}
	return fmt.Sprintf("start from %s to %s", both(s.Start, s.Local), both(s.LatestStart, s.Local))
}

// A Plan is what [Planner.Plan] returns.
type Plan struct {
	Need     time.Duration // what the update takes, by the estimate
	Slots    []Slot        // in order
	Passed   []Passed      // the days without a slot before the last slot, with the reasons
	Warnings []string      // what a person should read first: R14, data that end soon
}

// Next returns the first slot from a time on.
//
// If there is none, its error is a [*PlanError] that wraps [ErrNever] if waiting
// does not help, and [ErrBeyondData] if the calendar ends before a slot turns up.
// An estimate that lacks a part is [ErrIncomplete].
func (p Planner) Next(from time.Time, e Estimate) (Slot, error) {
	var r planner
	need, err := p.resolve(&e, &r)
	if err != nil {
		return Slot{}, err
	}
	t, err := instant(from)
	if err != nil {
		return Slot{}, err
	}
	start, end, err := r.slot(t, need)
	if err != nil {
		return Slot{}, r.fail(from, need, err)
	}
	return r.made(start, end, need), nil
}

// Plan returns the first n slots from a time on, and why each day before the
// last of them that has none was passed over. Errors are those of
// [Planner.Next]; but if the calendar ends after the first slot, the slots up
// to there are returned, with a warning.
func (p Planner) Plan(from time.Time, e Estimate, n int) (Plan, error) {
	var r planner
	need, err := p.resolve(&e, &r)
	if err != nil {
		return Plan{}, err
	}
	t, err := instant(from)
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{Need: time.Duration(need)}
	if e.FirstOfYear {
		w := "the first version of a year (R14): read its additional requirements first, and expect more changes and more time than usual"
		if e.FirstOfYearFactor <= 1 && e.FirstOfYearExtra == 0 {
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
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("no further slot is known: %v", err))
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

// Fits returns nil if an update that starts at a time ends inside its window, an
// end right at the closing included. It is the re-check before the first damage, too: see
// [Estimate].BackupDone.
//
// Otherwise the error is as that of [Planner.Next], or a [*PlanError] that wraps
// [ErrOutside] and holds the reason and, if one is known, the next slot.
func (p Planner) Fits(start time.Time, e Estimate) error {
	var r planner
	need, err := p.resolve(&e, &r)
	if err != nil {
		return err
	}
	t, err := instant(start)
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
	from, end, err = r.slot(t, need)
	if err == nil {
		return &PlanError{Start: start, Need: time.Duration(need), Why: why, Next: r.made(from, end, need), Err: ErrOutside, local: p.Local}
	}
	failed := r.fail(start, need, err)
	failed.Why = why
	failed.Err = outside{failed.Err}
	return failed
}

// made turns a span with room for need into a Slot.
func (r *planner) made(start, end, need int64) Slot {
	first := r.hours.time(start)
	room := time.Duration(end - start)
	return Slot{Start: first, LatestStart: first.Add(room - time.Duration(need)), End: first.Add(room), Local: r.local}
}

// fail finds out whether waiting would ever help.
func (r *planner) fail(start time.Time, need int64, err error) *PlanError {
	e := &PlanError{Start: start, Need: time.Duration(need), Err: err, local: r.local}
	if t, bad := instant(start); bad == nil {
		e.Longest = time.Duration(r.ideal().longest(t))
		if e.Longest < e.Need {
			e.Err = fmt.Errorf("%w: the longest window has %v", ErrNever, e.Longest)
		}
	}
	return e
}
