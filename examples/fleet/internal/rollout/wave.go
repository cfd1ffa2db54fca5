package rollout

import (
	"fmt"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/schedule"
)

// expire ends the grants that were not used, and marks the sites that are silent.
func (r *Rollout) expire(now time.Time) (changed bool) {
	for i := range r.Members {
		m := &r.Members[i]
		switch {
		case m.State == Granted && !now.Before(m.NotAfter.Add(MaxSkew)):
			m.State, m.Since, m.NotBefore, m.NotAfter = Waiting, now, time.Time{}, time.Time{}
			changed = true
		case m.State == Started && !m.Silent && now.Sub(m.Since) > r.Plan.Silence:
			m.Silent, changed = true, true
		}
	}
	return changed
}

// wrong returns why the rollout must stop, "" if it need not.
func (r *Rollout) wrong() string {
	codes := map[string]string{}
	for _, m := range r.Members {
		if m.Accepted {
			continue
		}
		switch {
		case m.State == Operator:
			return fmt.Sprintf("at site %q a person must decide", m.ID)
		case m.Silent:
			return fmt.Sprintf("site %q has no outcome %v after its start", m.ID, r.Plan.Silence)
		case m.State != RolledBack:
			continue
		case m.Wave == 0 && m.Code == "":
			return fmt.Sprintf("canary %q was rolled back", m.ID)
		case m.Wave == 0:
			return fmt.Sprintf("canary %q was rolled back with %s", m.ID, m.Code)
		}
		if other := codes[m.Code]; m.Code != "" && other != "" {
			return fmt.Sprintf("sites %q and %q were rolled back with %s", other, m.ID, m.Code)
		}
		codes[m.Code] = m.ID
	}
	if back, limit := r.Failures(); back > limit {
		started := r.Touched()
		return fmt.Sprintf("%d of %d sites that started were rolled back, more than %d", back, started, limit)
	}
	return ""
}

// Failures returns how many sites besides the canaries were rolled back and are not
// accepted, and how many of them do not stop the rollout yet.
func (r *Rollout) Failures() (back, limit int) {
	for _, m := range r.Members {
		if m.State == RolledBack && m.Wave > 0 && !m.Accepted {
			back++
		}
	}
	return back, max(1, r.Touched()*5/100)
}

// Busy returns how many sites have a grant or are updated, and how many may be now.
func (r *Rollout) Busy() (busy, limit int) {
	committed := 0
	for _, m := range r.Members {
		if m.busy() {
			busy++
		}
		if m.State == Committed {
			committed++
		}
	}
	return busy, min(r.Plan.Cap, max(slowStart, committed))
}

// waveOver starts the next wave if the current one is over, and returns whether
// anything changed.
func (r *Rollout) waveOver(now time.Time, known Known) bool {
	late := !now.Before(r.Deadline)
	var apart []*Member
	var reasons []string
	settled, total, committed, canaries := true, true, 0, 0
	for i := range r.Members {
		m := &r.Members[i]
		total = total && m.settled()
		if m.Wave == 0 && !m.Accepted {
			canaries++
			if m.State == Committed {
				committed++
			}
		}
		if m.Wave != r.Wave || m.settled() || m.Straggler != "" || m.State == Started && m.Silent && m.Accepted {
			continue
		}
		why := ""
		if m.State == Waiting || late && m.State == Granted {
			why = r.cannot(*m, known, now, late)
		}
		if why == "" {
			settled = false
			continue
		}
		apart, reasons = append(apart, m), append(reasons, why)
	}
	if total {
		r.leave(now, Done, "each site has an outcome")
		return true
	}
	if r.Wave > 2 || !settled {
		for i, m := range apart { // sites without a slot need not wait for the deadline to be shown
			m.Straggler = reasons[i]
		}
		return len(apart) > 0
	}
	if r.Wave == 0 && 2*committed < canaries && !r.FewCommit {
		r.FewCommit = true
		r.leave(now, Stopped, fmt.Sprintf("only %d of %d canaries have committed by the deadline", committed, canaries))
		return true
	}
	for i, m := range apart {
		m.Straggler = reasons[i]
	}
	var without []string
	for _, m := range r.Members {
		if m.Wave == r.Wave && m.Straggler != "" && !m.settled() {
			without = append(without, fmt.Sprintf("%q (%s)", m.ID, m.Straggler))
		}
	}
	switch {
	case len(without) > 10:
		r.note(now, "wave %d ends without %d sites, the first of them %s", r.Wave+1, len(without), strings.Join(without[:10], ", "))
	case len(without) > 0:
		r.note(now, "wave %d ends without %s", r.Wave+1, strings.Join(without, ", "))
	default:
		r.note(now, "wave %d ends", r.Wave+1)
	}
	r.Wave++
	r.Deadline = r.deadline(now)
	return true
}

// cannot returns why the wave need not wait for a site, "" if it must.
func (r *Rollout) cannot(m Member, known Known, now time.Time, late bool) string {
	h, ok := known(m.ID)
	switch {
	case h.Never != "":
		return h.Never
	case h.Slot.After(r.Deadline):
		return "no slot before " + h.Slot.UTC().Format(time.RFC3339)
	case !late:
		return ""
	case !ok:
		return "it has never reported"
	case !h.Connected(now):
		return "not connected since " + h.On.UTC().Format(time.RFC3339)
	}
	return "it had no turn"
}

// deadline returns the deadline of a wave that begins now: in support time (R13),
// or where the calendar ends a week.
func (r *Rollout) deadline(now time.Time) time.Time {
	t, err := schedule.Hours{}.Add(now, r.Plan.Deadline)
	if err != nil {
		return now.Add(7 * 24 * time.Hour).UTC()
	}
	return t.UTC()
}

// grant gives grants to sites that ask, and renews those that end soon.
func (r *Rollout) grant(now time.Time, known Known) (changed bool) {
	busy, limit := r.Busy()
	for i := range r.Members {
		m := &r.Members[i]
		if m.Wave > r.Wave || m.State != Granted && (m.State != Waiting || busy >= limit) ||
			m.State == Granted && m.NotAfter.Sub(now) > GrantLife/3 {
			continue
		}
		h, ok := known(m.ID)
		if !ok || h.Activity != Asking || !h.Connected(now) || !now.Before(h.Until) || h.Skew().Abs() > MaxSkew {
			continue
		}
		if m.State == Waiting {
			m.State, m.Since = Granted, now
			busy++
		}
		m.NotBefore, m.NotAfter, changed = now, now.Add(GrantLife), true
	}
	return changed
}
