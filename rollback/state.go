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
	// RestorePoint is what an operator may go back to, nil if nothing: see
	// [Update.Revert].
	RestorePoint *RestorePoint `json:"back,omitempty"`
	// Aside are the snapshots of what was live before an operator rolled
	// back. What was entered until then is nowhere else, so they are kept
	// until it is live again or a person forgets it: see [Update.Forget].
	Aside []RestorePoint `json:"aside,omitempty"`
}

// A Quarantine is a release that was rolled back.
type Quarantine struct {
	Part    string    `json:"part"`
	Release Release   `json:"release"`
	Since   time.Time `json:"since"`  // UTC
	Update  string    `json:"update"` // the id of the update that was rolled back, or of an operator's rollback
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

// apply is the one place where a record changes the state.
func (s *Status) apply(r Record) {
	switch r.Step {
	case StepCarry:
		*s = r.Carried.clone()
	case StepIntent:
		s.Pending = newPending(r)
	case StepAdopt:
		maps.Copy(s.Committed, r.Releases)
	case StepLift:
		for part, rel := range r.Releases {
			s.lift(part, rel)
		}
	case StepForget:
		s.Aside = slices.DeleteFunc(s.Aside, func(p RestorePoint) bool { return p.Update == r.Ref })
	}
	if p := s.Pending; p != nil && r.Update == p.Update {
		p.apply(r)
		s.decide(r)
	}
}

// decide applies a record that decides the pending update, or ends it.
func (s *Status) decide(r Record) {
	p := s.Pending
	switch r.Step {
	case StepAccept:
		p.Outcome = r.Outcome
	case StepCommit:
		p.Outcome = Committed
	case StepRolledBack:
		p.Outcome = RolledBack
	case StepAbandoned:
		p.Outcome = Abandoned
	case StepEnd:
		s.Last, s.Pending = p.Outcome, nil
		return
	default:
		return
	}
	for _, part := range p.Plan.Parts {
		switch {
		case part.Keep:
		case p.Outcome == Committed:
			s.Committed[part.Name] = part.commits()
		case part.From.Version != "":
			s.Committed[part.Name] = part.From
		}
	}
	switch p.Outcome {
	case Committed:
		p.course.committed(s, r)
		s.RestorePoint = p.restorePoint()
	case RolledBack:
		p.course.rolledBack(s, r)
	}
}

func (s *Status) quarantine(part string, release Release, by Record) {
	s.Quarantined = append(s.Quarantined, Quarantine{Part: part, Release: release, Since: by.Time, Update: by.Update})
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
