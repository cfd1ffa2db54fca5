package rollback

import (
	"maps"
	"slices"
	"time"
)

// A Status is what the journal says about an installation. It is derived
// from the records each time, and kept nowhere else.
type Status struct {
	// Committed is the release of each part that was last committed and
	// healthy, which is the "previous working version" of R15. It is not
	// simply the next smaller number.
	Committed map[string]Release `json:"committed"`
	// Quarantined are the releases that were rolled back here and are not
	// installed again until a person lifts it or another hash arrives.
	Quarantined []Quarantine `json:"quarantined,omitempty"`
	// Pending is the update in flight, nil if none.
	Pending *Pending `json:"-"`
	// Last is how the last update ended, "" if there was none.
	Last Outcome `json:"last,omitempty"`
	// Back is what an operator may go back to, nil if nothing: see
	// [Update.RollBack].
	Back *WayBack `json:"back,omitempty"`
	// Aside are the snapshots of what was live before an operator rolled
	// back. What was entered until then is nowhere else, so they are kept
	// until it is live again or a person forgets it: see [Update.Forget].
	Aside []WayBack `json:"aside,omitempty"`
}

// A Quarantine is a release that was rolled back.
type Quarantine struct {
	Part    string    `json:"part"`
	Release Release   `json:"release"`
	Since   time.Time `json:"since"`  // UTC
	Update  string    `json:"update"` // the id of the update that was rolled back, or of an operator's rollback
}

// A Pending update has begun and not ended.
type Pending struct {
	Update   string // id
	Plan     Plan
	Step     Step              // the last step journaled
	Way      Way               // the direction it is traveling in
	Damaged  bool              // an installer was, or may have been, started, or old data restored
	Outcome  Outcome           // Committed, RolledBack or Abandoned once that is decided, NeedsOperator, or ""
	Attempts int               // recoveries since the damage, or since a person's last decision
	Refs     map[string]string // snapshots by dataset
	Reboot   string            // the boot that it waits to end, "" if it does not wait

	since     time.Time                   // when its snapshots were begun
	counts    map[string]map[string]int64 // rows by dataset and table, where known
	begun     map[string]bool             // parts whose installer was, or may have been, started, or that may have been removed
	installed map[string]bool             // parts whose installer ended well
	returned  map[string]bool             // parts whose previous version's installer ended well, on this attempt
	retried   bool                        // a person had things at hand, and perhaps also parts that are not begun
}

// Blocked returns nil if an update may be planned, and otherwise a
// [*Refusal] that says what is pending and what to do about it.
func (s Status) Blocked() error {
	switch p := s.Pending; {
	case p == nil:
		return nil
	case p.Outcome == NeedsOperator:
		return refuse(ReasonState, "", "update %s: %w: mend the cause and retry, or put things right by hand and accept", p.Update, ErrNeedsOperator)
	default:
		return refuse(ReasonState, "", "update %s %w at %s; recover it first", p.Update, ErrPending, p.Step)
	}
}

// ReadStatus reads the journal in dir. It writes nothing and needs no lock.
func ReadStatus(dir string) (Status, error) {
	recs, err := ReadJournal(dir)
	if err != nil {
		return Status{}, err
	}
	return replay(recs), nil
}

func replay(recs []Record) Status {
	s := Status{Committed: map[string]Release{}}
	for _, r := range recs {
		s.apply(r)
	}
	return s
}

func (s *Status) apply(r Record) {
	switch r.Step {
	case StepCarry:
		*s = r.Carried.clone()
	case StepIntent:
		s.Pending = &Pending{
			Update: r.Update, Plan: *r.Plan, Way: Forward, Refs: map[string]string{}, counts: map[string]map[string]int64{},
			since: r.Time, begun: map[string]bool{}, installed: map[string]bool{}, returned: map[string]bool{},
		}
	case StepAdopt:
		maps.Copy(s.Committed, r.Releases)
	case StepLift:
		for part, rel := range r.Releases {
			s.lift(part, rel)
		}
	case StepForget:
		s.Aside = slices.DeleteFunc(s.Aside, func(w WayBack) bool { return w.Update == r.Ref })
	}
	p := s.Pending
	if p == nil || r.Update != p.Update {
		return
	}
	p.Step = r.Step
	if r.Way != "" {
		p.Way = r.Way
	}
	switch r.Step {
	case StepSnapshot:
		p.snapshot(r)
	case StepInstall:
		p.install(r)
	case StepRemove, StepRestore:
		// Forward only in an operator's rollback, and then the first damage.
		if r.Way == Forward && r.Phase == Begin {
			p.Damaged = true
			if r.Step == StepRemove {
				p.begun[r.Part] = true
			}
		}
	case StepSettle:
		if r.Ref != "" {
			p.Reboot, p.installed[r.Part] = r.Ref, true
		}
	case StepReboot:
		p.Reboot = ""
		if r.Phase == Begin {
			p.Reboot = r.Ref
		}
	case StepRecover:
		p.Attempts++
		clear(p.returned)
		if p.Plan.Back != nil && !p.complete() {
			clear(p.installed) // an operator's rollback goes its way anew
		}
	case StepOperator:
		p.Outcome = NeedsOperator
	case StepRetry:
		p.Attempts, p.Outcome, p.retried = 0, "", true
		clear(p.returned)
	case StepAccept:
		s.settle(r, r.Outcome)
	case StepCommit:
		s.settle(r, Committed)
	case StepRolledBack:
		s.settle(r, RolledBack)
	case StepAbandoned:
		s.settle(r, Abandoned)
	case StepEnd:
		s.Last, s.Pending = p.Outcome, nil
	}
}

func (p *Pending) snapshot(r Record) {
	switch {
	case r.Phase == Done:
		p.Refs[r.Part] = r.Ref
		if r.Counts != nil {
			p.counts[r.Part] = r.Counts
		}
	case r.Phase == Begin && len(p.Refs) == 0:
		p.since = r.Time
	}
}

// complete reports whether every part's installer ended well.
func (p *Pending) complete() bool {
	return !slices.ContainsFunc(p.Plan.Parts, func(part PlanPart) bool { return !part.Keep && !p.installed[part.Name] })
}

func (p *Pending) install(r Record) {
	if r.Phase == Done {
		p.Reboot = r.Ref
	}
	switch {
	case r.Way == Back && r.Phase == Done:
		p.returned[r.Part] = true
	case r.Way == Back:
	case r.Phase == Begin:
		p.Damaged = true
		p.begun[r.Part] = true
	case r.Phase == Done:
		p.installed[r.Part] = true
	}
}

// settle applies a decision that is durable with the record r.
func (s *Status) settle(r Record, o Outcome) {
	p := s.Pending
	p.Outcome = o
	for _, part := range p.Plan.Parts {
		switch {
		case part.Keep:
		case o == Committed:
			s.Committed[part.Name] = part.commits()
		case o == RolledBack || o == Abandoned:
			if part.From.Version != "" {
				s.Committed[part.Name] = part.From
			}
			if o == RolledBack && p.Plan.Back == nil {
				s.Quarantined = append(s.Quarantined, Quarantine{Part: part.Name, Release: part.To, Since: r.Time, Update: r.Update})
			}
		}
	}
	if o == Committed {
		if p.Plan.Back != nil {
			s.returned(r)
		}
		s.Back = p.wayBack()
	}
}

func (s *Status) lift(part string, r Release) {
	s.Quarantined = slices.DeleteFunc(s.Quarantined, func(q Quarantine) bool { return q.Part == part && r.same(q.Release) })
}

// clone shares nothing that apply changes.
func (s Status) clone() Status {
	s.Committed = maps.Clone(s.Committed)
	if s.Committed == nil {
		s.Committed = map[string]Release{}
	}
	s.Quarantined, s.Aside = slices.Clone(s.Quarantined), slices.Clone(s.Aside)
	return s
}

// QuarantineOf returns the quarantine that holds for a release of a part. A
// release without a hash is any of its version.
func (s Status) QuarantineOf(part string, r Release) (Quarantine, bool) {
	i := slices.IndexFunc(s.Quarantined, func(q Quarantine) bool { return q.Part == part && q.Release.same(r) })
	if i < 0 {
		return Quarantine{}, false
	}
	return s.Quarantined[i], true
}
