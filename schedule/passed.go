package schedule

import (
	"fmt"
	"slices"
	"time"
)

// Passed is a day without a slot.
type Passed struct {
	Date Date // in the zone of the hours: Moscow's date

	kind   Kind
	reason reason
	note   string        // which holiday, which blackout
	free   time.Duration // the longest free span, if the reason is too little time
	need   time.Duration // what the update needs
}

// A reason is why a day has no slot, or why a start does not fit.
type reason string

const (
	noSupport  reason = "not a support day" // R13; see Passed.kind
	tooEarly   reason = "support's hours have not begun"
	hoursOver  reason = "support's hours are over"
	tooLate    reason = "too late in the day" // an earlier start on the day would have fit
	tooShort   reason = "support's hours are too short"
	notQuiet   reason = "the site's quiet hours leave too little time" // R12
	inBlackout reason = "blackout date"
)

// String returns one line: "2026-01-07: public holiday: Orthodox Christmas".
func (p Passed) String() string { return p.Date.String() + ": " + p.Why() }

// Why returns what prevents an update on the day, for people.
func (p Passed) Why() string {
	s := string(p.reason)
	if p.reason == noSupport {
		s = p.kind.String()
		if p.kind.Working() {
			s += ", which is not a support day"
		}
	}
	if p.note != "" {
		s += ": " + p.note
	}
	switch p.reason {
	case tooLate, tooShort, notQuiet:
		s += fmt.Sprintf(" (%v free, %v needed)", short(p.free), short(p.need))
	}
	return s
}

// passed returns the days without a slot from t to the last of the slots.
func (r *planner) passed(t, need int64, slots []span) ([]Passed, error) {
	var out []Passed
	last := r.hours.date(slots[len(slots)-1].start)
	for d := r.hours.earliest(t); d.n <= last.n; d.n++ {
		begin, end := r.hours.clock(d, r.hours.open), r.hours.clock(d, r.hours.close)
		if slices.ContainsFunc(slots, func(s span) bool { return s.start < end && s.end > begin }) {
			continue
		}
		p, err := r.why(d, t, need)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// why returns what prevents an update on a day, from t on: of several reasons
// the first that, if removed, lets the update fit.
func (r *planner) why(d Date, t, need int64) (Passed, error) {
	today, err := r.hours.days.Day(d)
	if err != nil {
		return Passed{}, err
	}
	p := Passed{Date: d, kind: today.Kind, note: today.Note, need: time.Duration(need)}
	if !r.hours.counts(today.Kind) {
		p.reason = noSupport
		return p, nil
	}
	open, close := r.hours.window(d, today.Short)
	if t >= close {
		p.reason, p.note = hoursOver, ""
		return p, nil
	}
	p.free = time.Duration(r.free(span{max(open, t), close}))
	bare := planner{hours: r.hours, quiet: r.quiet, local: r.local}
	switch {
	case r.free(span{open, close}) >= need:
		p.reason, p.note = tooLate, ""
	case bare.free(span{open, close}) >= need:
		p.reason, p.note = inBlackout, r.noteOf(span{open, close})
	case close-open >= need:
		p.reason, p.note = notQuiet, ""
	default:
		p.reason = tooShort
	}
	return p, nil
}

// whyNot returns what prevents an update that starts at exactly t.
func (r *planner) whyNot(t, need int64) (Passed, error) {
	d := r.hours.earliest(t)
	p, err := r.why(d, t, need)
	if err != nil || p.reason == noSupport || p.reason == hoursOver {
		return p, err
	}
	open, _ := r.hours.window(d, false)
	q, found := r.nextQuiet(t, t)
	switch b := r.nextAllowed(t); {
	case t < open:
		p.reason, p.note = tooEarly, ""
	case b.start > t:
		p.reason, p.note = inBlackout, r.noteOf(span{t, t + 1})
	case !found || q.start > t:
		p.reason, p.note, p.free = notQuiet, "", 0
	default:
		_, end, err := r.next(t, t+1)
		if err != nil {
			return p, err
		}
		p.free = time.Duration(end - t)
	}
	return p, nil
}

// free returns the longest part of a span that is quiet and not blacked out.
func (r *planner) free(s span) int64 {
	most := int64(0)
	for t := s.start; t < s.end; {
		q, found := r.nextQuiet(t, s.end)
		if !found {
			break
		}
		b := r.nextAllowed(q.start)
		end := min(q.end, b.end, s.end)
		if b.start < end {
			most = max(most, end-b.start)
		}
		t = max(end, b.start)
	}
	return most
}

// noteOf returns the note of a blackout that touches a span.
func (r *planner) noteOf(s span) string {
	for _, b := range r.blackouts {
		if o := r.blackout(b); o.start < s.end && o.end > s.start {
			return b.Note
		}
	}
	return ""
}
