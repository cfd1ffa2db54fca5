package rollback

import (
	"slices"
	"time"
)

// A Pending update has begun and not ended.
type Pending struct {
	Update    string // id
	Plan      Plan
	Step      Step    // the last step journaled
	Direction string  // "forward" to the new version, or "back" to the one before
	Damaged   bool    // an installer was, or may have been, started, or old data was restored
	Outcome   Outcome // Committed, RolledBack or Abandoned once that is decided, NeedsOperator, or ""
	Attempts  int     // recoveries since the damage, or since a person's last decision

	refs        map[string]string // snapshots by dataset
	reboot      string            // the boot that it waits to end, "" if it does not wait
	course      course
	since       time.Time                   // when its snapshots were begun
	counts      map[string]map[string]int64 // rows by dataset and table, where known
	begun       map[string]bool             // parts whose installer or remover was, or may have been, started
	installed   map[string]bool             // parts whose installer succeeded
	again       bool                        // an operator's rollback whose Setup has changed the data, perhaps: another try starts over
	started     bool                        // something may have run since an installer did
	migrated    map[string]bool             // datasets that have the new version's structure
	reinstalled map[string]bool             // parts whose previous version's installer succeeded, in this attempt
	retried     bool                        // a person may have changed any part by hand

	absent    map[string]bool     // datasets that a first installation did not find
	accepted  map[string]Release  // what a person found installed
	fencedIn  string              // the boot in which the fence was closed last
	doubt     bool                // the live data may be newer than its snapshots
	safe      map[string]bool     // datasets that were kept since the doubt began
	unkept    map[string]bool     // datasets that could not be kept, since a person's last decision
	given     map[string]bool     // those of them that a person named: they are restored all the same
	differs   map[string][]string // datasets that were restored and differ: what stays beside, and the differences
	accepts   map[string][]string // those of them that a person named, with these differences
	removed   bool                // a remover was started, which may have removed data as well
	kept      []kept
	keptSince time.Time
}

func newPending(r record) *Pending {
	p := &Pending{
		Update: r.Update, Plan: *r.Plan, Direction: forward, refs: map[string]string{},
		course: updating{}, since: r.Time, counts: map[string]map[string]int64{},
		begun: map[string]bool{}, installed: map[string]bool{}, migrated: map[string]bool{}, reinstalled: map[string]bool{}, safe: map[string]bool{}, absent: map[string]bool{}, unkept: map[string]bool{}, differs: map[string][]string{},
	}
	if p.Plan.Revert != nil {
		p.course = reverting{*p.Plan.Revert}
	}
	return p
}

// decided reports whether how the update ends is durable, so that only users
// are to be let in.
func (p *Pending) decided() bool {
	return p.Outcome == Committed || p.Outcome == RolledBack || p.Outcome == Abandoned
}

// third reports whether a person accepted another release than those of the plan.
func (p *Pending) third() bool {
	return slices.ContainsFunc(p.Plan.Parts, func(part PlanPart) bool {
		r, ok := p.accepted[part.Name]
		return ok && !r.same(part.commits())
	})
}

// commits returns the release of a part that is committed with the update.
func (p *Pending) commits(part PlanPart) Release {
	if r, ok := p.accepted[part.Name]; ok {
		return r
	}
	return part.commits()
}

// apply records how far the update has come.
func (p *Pending) apply(r record) {
	p.Step = r.Step
	if r.Direction != "" {
		p.Direction = r.Direction
	}
	switch r.Step {
	case stepFence:
		switch {
		case r.Kind == EventFailed:
			p.mayBeNewer()
		case r.Kind == EventDone && r.Ref != "":
			p.fencedIn = r.Ref
		}
	case stepSnapshot:
		p.snapshot(r)
	case stepKeep:
		p.keeps(r)
	case stepInstall:
		p.install(r)
	case stepRemove, stepRestore:
		p.removed = p.removed || r.Step == stepRemove
		p.restored(r)
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
		if r.Kind == EventDone { // it could not check anything yet
			p.Attempts = max(0, p.Attempts-1)
			break
		}
		p.Attempts++
		clear(p.reinstalled)
		if p.open() {
			p.mayBeNewer()
		}
		p.course.recovered(p)
	case stepOperator:
		p.Outcome, p.again = NeedsOperator, p.Direction == forward && !p.started
	case stepStart, stepMigrate, stepProbe:
		p.started = true
		if r.Step == stepMigrate && r.Kind == EventDone {
			p.migrated[r.Part] = true
		}
	case stepRetry:
		if p.again {
			clear(p.installed)
		}
		p.Attempts, p.Outcome, p.retried = 0, "", true
		clear(p.reinstalled)
		clear(p.unkept)
		p.given = map[string]bool{}
		for _, name := range r.Unkept {
			p.given[name] = true
		}
		p.accepts = map[string][]string{}
		for _, name := range r.Differing {
			p.accepts[name] = p.differs[name]
		}
		p.mayBeNewer()
	}
}

func (p *Pending) snapshot(r record) {
	switch {
	case r.Kind == EventDone && r.Ref == "":
		p.absent[r.Part] = true
	case r.Kind == EventDone:
		p.refs[r.Part] = r.Ref
		if r.Counts != nil {
			p.counts[r.Part] = r.Counts
		}
	case r.Kind == EventBegin && len(p.refs) == 0:
		p.since = r.Time
	}
}

// restored records that what was restored in a rollback differs, or no longer does.
func (p *Pending) restored(r record) {
	switch {
	case r.Step != stepRestore || r.Direction != back || r.Kind == EventBegin:
	case r.Kind == EventFailed && len(r.Differing) > 0:
		p.differs[r.Part] = r.Differing
	case r.Kind == EventDone:
		delete(p.differs, r.Part)
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
		p.Damaged, p.started = true, false
		p.begun[r.Part] = true
	case r.Kind == EventDone:
		p.installed[r.Part] = true
	}
}

// changed reports whether a part may have another version than before the update: its
// installer was started, or a person has put things right by hand.
func (p *Pending) changed(part int) bool { return p.begun[p.Plan.Parts[part].Name] || p.retried }

// all reports whether every part that changes is in the set.
func (p Plan) all(set map[string]bool) bool {
	return !slices.ContainsFunc(p.Parts, func(part PlanPart) bool { return !part.Keep && !set[part.Name] })
}
