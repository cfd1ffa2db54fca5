package rollback

import (
	"slices"
	"time"
)

// A Pending update has begun and not ended.
type Pending struct {
	Update    string // id
	Plan      Plan
	Step      Step              // the last step journaled
	Direction string            // "forward" to the new version, or "back" to the one before
	Damaged   bool              // an installer was, or may have been, started, or old data was restored
	Outcome   Outcome           // Committed, RolledBack or Abandoned once that is decided, NeedsOperator, or ""
	Attempts  int               // recoveries since the damage, or since a person's last decision
	Refs      map[string]string // snapshots by dataset

	reboot      string // the boot that it waits to end, "" if it does not wait
	course      course
	since       time.Time                   // when its snapshots were begun
	counts      map[string]map[string]int64 // rows by dataset and table, where known
	begun       map[string]bool             // parts whose installer or remover was, or may have been, started
	installed   map[string]bool             // parts whose installer succeeded
	reinstalled map[string]bool             // parts whose previous version's installer succeeded, in this attempt
	retried     bool                        // a person may have changed any part by hand
}

func newPending(r record) *Pending {
	p := &Pending{
		Update: r.Update, Plan: *r.Plan, Direction: forward, Refs: map[string]string{},
		course: updating{}, since: r.Time, counts: map[string]map[string]int64{},
		begun: map[string]bool{}, installed: map[string]bool{}, reinstalled: map[string]bool{},
	}
	if p.Plan.Revert != nil {
		p.course = reverting{*p.Plan.Revert}
	}
	return p
}

// apply records how far the update has come.
func (p *Pending) apply(r record) {
	p.Step = r.Step
	if r.Direction != "" {
		p.Direction = r.Direction
	}
	switch r.Step {
	case stepSnapshot:
		p.snapshot(r)
	case stepInstall:
		p.install(r)
	case stepRemove, stepRestore:
		// Forward only in an operator's rollback, and then the first damage.
		if r.Direction == forward && r.Kind == EventBegin {
			p.Damaged = true
			if r.Step == stepRemove {
				p.begun[r.Part] = true
			}
		}
	case stepSettle:
		if r.Ref != "" {
			p.reboot, p.installed[r.Part] = r.Ref, true
		}
	case stepReboot:
		p.reboot = ""
		if r.Kind == EventBegin {
			p.reboot = r.Ref
		}
	case stepRecover:
		p.Attempts++
		clear(p.reinstalled)
		p.course.recovered(p)
	case stepOperator:
		p.Outcome = NeedsOperator
	case stepRetry:
		p.Attempts, p.Outcome, p.retried = 0, "", true
		clear(p.reinstalled)
	}
}

func (p *Pending) snapshot(r record) {
	switch {
	case r.Kind == EventDone:
		p.Refs[r.Part] = r.Ref
		if r.Counts != nil {
			p.counts[r.Part] = r.Counts
		}
	case r.Kind == EventBegin && len(p.Refs) == 0:
		p.since = r.Time
	}
}

func (p *Pending) install(r record) {
	if r.Kind == EventDone {
		p.reboot = r.Ref
	}
	switch {
	case r.Direction == back && r.Kind == EventDone:
		p.reinstalled[r.Part] = true
	case r.Direction == back:
	case r.Kind == EventBegin:
		p.Damaged = true
		p.begun[r.Part] = true
	case r.Kind == EventDone:
		p.installed[r.Part] = true
	}
}

// all reports whether every part that changes is in the set.
func (p Plan) all(set map[string]bool) bool {
	return !slices.ContainsFunc(p.Parts, func(part PlanPart) bool { return !part.Keep && !set[part.Name] })
}
