package schedule

import (
	"fmt"
	"time"
)

// Reason is why a day has no slot, or why a start does not fit.
type Reason uint8

// The reasons why a day has no slot.
const (
	NoReason   Reason = iota
	NoSupport         // not a support day (R13); see Passed.Kind
	TooEarly          // support's hours had not begun
	HoursOver         // support's hours were over
	TooLate           // an earlier start on the day would have fit
	TooShort          // the day's hours are shorter than the update
	NotQuiet          // the site's quiet hours are too short (R12)
	InBlackout        // one of the site's blackout dates
)

// Passed is a day without a slot.
type Passed struct {
	Date   Date // in the zone of the hours: Moscow's date
	Kind   Kind
	Reason Reason
	Note   string        // for people, often empty: which holiday, which blackout
	Free   time.Duration // the longest free span, if the reason is too little time
	Need   time.Duration // what the update needs
}

// String returns one line: "2026-01-07: public holiday: Orthodox Christmas".
func (p Passed) String() string { return p.Date.String() + ": " + p.text() }

func (p Passed) text() string {
	s := p.Reason.String()
	if p.Reason == NoSupport {
		s = p.Kind.String()
		if p.Kind.Working() {
			s += ", which is not a support day"
		}
	}
	if p.Note != "" {
		s += ": " + p.Note
	}
	switch p.Reason {
	case TooLate, TooShort, NotQuiet:
		s += fmt.Sprintf(" (%v free, %v needed)", short(p.Free), short(p.Need))
	}
	return s
}

// String returns the reason in a few words.
func (r Reason) String() string {
	texts := [...]string{
		NoReason:   "no reason",
		NoSupport:  "not a support day",
		TooEarly:   "support's hours have not begun",
		HoursOver:  "support's hours are over",
		TooLate:    "too late in the day",
		TooShort:   "support's hours are too short",
		NotQuiet:   "the site's quiet hours leave too little time",
		InBlackout: "blackout date",
	}
	if int(r) < len(texts) {
		return texts[r]
	}
	return texts[NoReason]
}

// passed returns the days without a slot from t to the last of the slots.
func (r *planner) passed(t, need int64, slots []span) ([]Passed, error) {
	var out []Passed
	last := r.hours.date(slots[len(slots)-1].start)
	for d := r.hours.earliest(t); d.n <= last.n; d.n++ {
		begin, end := r.hours.clock(d, r.hours.open), r.hours.clock(d, r.hours.close)
		used := false
		for _, s := range slots {
			used = used || s.start < end && s.end > begin
		}
		if used {
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
// the first without which it would fit.
func (r *planner) why(d Date, t, need int64) (Passed, error) {
	today, err := r.hours.days.Day(d)
	if err != nil {
		return Passed{}, err
	}
	p := Passed{Date: d, Kind: today.Kind, Note: today.Note, Need: time.Duration(need)}
	if !r.hours.counts(today.Kind) {
		p.Reason = NoSupport
		return p, nil
	}
	open, close := r.hours.window(d, today.Short)
	if t >= close {
		p.Reason, p.Note = HoursOver, ""
		return p, nil
	}
	p.Free = time.Duration(r.free(span{max(open, t), close}))
	bare := planner{hours: r.hours, quiet: r.quiet, local: r.local}
	switch {
	case r.free(span{open, close}) >= need:
		p.Reason, p.Note = TooLate, ""
	case bare.free(span{open, close}) >= need:
		p.Reason, p.Note = InBlackout, r.noteOf(span{open, close})
	case close-open >= need:
		p.Reason, p.Note = NotQuiet, ""
	default:
		p.Reason = TooShort
	}
	return p, nil
}

// whyNot returns what prevents an update that starts at exactly t.
func (r *planner) whyNot(t, need int64) (Passed, error) {
	d := r.hours.earliest(t)
	p, err := r.why(d, t, need)
	if err != nil || p.Reason <= HoursOver {
		return p, err
	}
	open, _ := r.hours.window(d, false)
	q, found := r.nextQuiet(t, t)
	switch b := r.nextAllowed(t); {
	case t < open:
		p.Reason, p.Note = TooEarly, ""
	case b.start > t:
		p.Reason, p.Note = InBlackout, r.noteOf(span{t, t + 1})
	case !found || q.start > t:
		p.Reason, p.Note, p.Free = NotQuiet, "", 0
	default:
		_, end, err := r.next(t, t+1)
		if err != nil {
			return p, err
		}
		p.Free = time.Duration(end - t)
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
