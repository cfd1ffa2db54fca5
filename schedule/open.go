package schedule

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// planner is a Planner with the defaults filled in. It plans in the intersection
// of three endless lists of spans: the support hours, the quiet hours, and the
// time between blackouts. Each list has a function that returns its first span
// from a time on.
type planner struct {
	hours     hours
	quiet     []Daily
	blackouts []Period
	local     *time.Location
}

// A span is [start, end), in nanoseconds since 1970.
type span struct{ start, end int64 }

// resolve sets r, which is a parameter because it is large, and returns what the
// update needs and its start as an instant.
func (p *Planner) resolve(e *Estimate, r *planner, start time.Time) (need, t int64, err error) {
	total, err := e.total()
	if err != nil {
		return 0, 0, err
	}
	r.quiet, r.blackouts, r.local = p.QuietHours, p.Blackouts, p.Local
	if r.local == nil {
		r.local = moscow
	}
	for _, q := range p.QuietHours {
		if q.From < 0 || int64(q.From) >= day || q.To < 0 || int64(q.To) > day {
			return 0, 0, fmt.Errorf("invalid quiet hours from %v to %v; use times of day, as durations since midnight", q.From, q.To)
		}
	}
	for _, b := range p.Blackouts {
		if err := b.check(); err != nil {
			return 0, 0, err
		}
	}
	t, err = p.Hours.resolve(&r.hours, start)
	return int64(total), t, err
}

// slot returns the first span from t on that is open and long enough.
func (r *planner) slot(t, need int64) (start, end int64, err error) {
	for limit := t + far*day; ; {
		start, end, err = r.next(t, limit)
		if err != nil || end-start >= need {
			return start, end, err
		}
		t = end
	}
}

// next returns the first span from t on that is in all three lists, and ErrNever
// if there is none before limit.
func (r *planner) next(t, limit int64) (start, end int64, err error) {
	for t < limit {
		start, end, err = r.hours.next(t)
		if err != nil {
			return 0, 0, err
		}
		if len(r.quiet) == 0 && len(r.blackouts) == 0 {
			return start, end, nil
		}
		q, found := r.nextQuiet(start, end)
		if !found {
			break
		}
		b := r.nextAllowed(q.start)
		// The span that begins last is in all lists, unless another one has ended.
		t = b.start
		if t < end && t < q.end {
			return t, min(end, q.end, b.end), nil
		}
	}
	return 0, 0, ErrNever
}

// nextQuiet returns the first span of quiet hours from t on. Spans that touch
// are joined up to until.
func (r *planner) nextQuiet(t, until int64) (span, bool) {
	if len(r.quiet) == 0 {
		return span{t, math.MaxInt64}, true
	}
	const week = 9 // with a day on either side, for those that began yesterday
	first := DateOf(r.hours.time(t).In(r.local)).AddDays(-1)
	found := span{math.MaxInt64, 0}
	for i := range week {
		for _, q := range r.quiet {
			if s, ok := r.daily(q, first.AddDays(i)); ok && s.end > t && s.start < found.start {
				found = s
			}
		}
	}
	if found.end == 0 {
		return found, false
	}
	for grown := true; grown && found.end < until; {
		grown = false
		last := DateOf(r.hours.time(found.end).In(r.local))
		for i := -1; i <= 0; i++ {
			for _, q := range r.quiet {
				if s, ok := r.daily(q, last.AddDays(i)); ok && s.start <= found.end && s.end > found.end {
					found.end, grown = s.end, true
				}
			}
		}
	}
	return span{max(t, found.start), found.end}, true
}

// daily returns the quiet hours that begin on a day.
func (r *planner) daily(q Daily, d Date) (span, bool) {
	if len(q.Weekdays) > 0 && !slices.Contains(q.Weekdays, d.Weekday()) {
		return span{}, false
	}
	to := int64(q.To)
	if q.To <= q.From {
		to += day
	}
	s := span{clock(d, int64(q.From), r.local).UnixNano(), clock(d, to, r.local).UnixNano()}
	return s, s.start < s.end
}

// nextAllowed returns the first span from t on without a blackout.
func (r *planner) nextAllowed(t int64) span {
	if len(r.blackouts) == 0 {
		return span{t, math.MaxInt64}
	}
	for moved := true; moved; {
		moved = false
		for _, b := range r.blackouts {
			if s := r.blackout(b); s.start <= t && t < s.end {
				t, moved = s.end, true
			}
		}
	}
	end := int64(math.MaxInt64)
	for _, b := range r.blackouts {
		if s := r.blackout(b); s.start > t {
			end = min(end, s.start)
		}
	}
	return span{t, end}
}

func (r *planner) blackout(b Period) span {
	first, last := b.bounds()
	return span{r.midnight(first), r.midnight(last.AddDays(1))}
}

// midnight returns when a day begins at the site. The years of a hostile date
// are limited to those that can be planned.
func (r *planner) midnight(d Date) int64 {
	const center = daysToUnix + 1
	const most = bound / (24 * 60 * 60)
	d.n = min(max(d.n, center-most), center+most)
	return clock(d, 0, r.local).UnixNano()
}

// ideal returns the planner of a year in which every day that can be a support
// day is one, and none is short or blacked out.
func (r *planner) ideal() *planner {
	i := *r
	i.blackouts = nil
	i.hours.ru, i.hours.set = nil, nil
	i.hours.days = always(WorkingWeekend)
	if r.hours.ru == nil {
		i.hours.days = always(Workday) // another calendar may have any week
	}
	return &i
}

// longest returns the length of the longest span in the year after t.
func (r *planner) longest(t int64) int64 {
	most := int64(0)
	for limit := t + 366*day; t < limit; {
		start, end, err := r.next(t, limit)
		if err != nil {
			break
		}
		most = max(most, end-start)
		t = end
	}
	return most
}

// always is a calendar without holidays, whose weekends are of one kind.
type always Kind

func (a always) Day(d Date) (Day, error) {
	if weekend(d) {
		return Day{Kind: Kind(a)}, nil
	}
	return Day{Kind: Workday}, nil
}
