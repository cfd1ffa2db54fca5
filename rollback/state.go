package rollback

import (
	"maps"
	"slices"
	"time"
)

// A Status is the state of an installation. It is derived from the journal's
// records each time, and stored nowhere else.
type Status struct {
	// Committed is the release of each part that was last committed: the
	// "previous working version" of R15, not the next smaller number.
	Committed map[string]Release `json:"committed"`
	// Quarantined are the releases that were rolled back here. They are not
	// installed again until a person lifts the quarantine or the release
	// gets another hash.
	Quarantined []Quarantine `json:"quarantined,omitempty"`
	// Pending is the update that has not ended, nil if none.
	Pending *Pending `json:"-"`
	// Written is when the journal was last written, UTC; zero if never.
	Written time.Time `json:"-"`
	// Last is how the last update ended, "" if there was none.
	Last Outcome `json:"last,omitempty"`
	// RestorePoint is what [Update.Revert] would go back to, nil if nothing.
	RestorePoint *RestorePoint `json:"back,omitempty"`
	// Aside are the snapshots that were taken before each operator's
	// rollback, and before any other restore over data that may have been newer
	// (of an update with "/kept" after its id). What was entered until then is
	// nowhere else, so they are kept until it is live again or [Update.Forget]
	// gives it up.
	Aside []RestorePoint `json:"aside,omitempty"`

	journal string // the journal's identity, "" of one that earlier versions wrote
}

// A Quarantine is a release that was rolled back.
type Quarantine struct {
	Part    string    `json:"part"`
	Release Release   `json:"release"`
	Since   time.Time `json:"since"`  // UTC
	Update  string    `json:"update"` // the id of the update that was rolled back, or of an operator's rollback
}

// Blocked returns nil if an update may be planned, and otherwise an [*Error]
// with what is pending and what to do about it.
func (s Status) Blocked() error {
	switch p := s.Pending; {
	case p == nil:
		return nil
	case p.Outcome == NeedsOperator:
		return refuse(ReasonState, "update "+p.Update, "%w", ErrNeedsOperator).without(p)
	default:
		return refuse(ReasonState, "", "%w: %s, at %s", ErrPending, p.Update, p.Step).then("recover it first")
	}
}

// ReadStatus reads the journal in the state directory dir. It writes nothing and
// needs no lock. With the directories that [Update].Kept has it refuses a state
// directory that is an older copy of itself, for [ReasonStale].
func ReadStatus(dir string, kept ...string) (Status, error) {
	return readStatus(dir, kept, readJournal)
}

// readStatus reads the journal before its marks, which have its name, while an
// update may be writing both. So a journal that lacks what is marked is stale
// only if it is the same when it is read again after the marks.
func readStatus(dir string, kept []string, read func(dir string) (segment, []byte, error)) (Status, error) {
	s, _, err := read(dir)
	for m := newMarker(tuning{}); ; {
		if err != nil {
			return Status{}, err
		}
		st := replay(s.records)
		_, stale := m.check(dir, kept, st.journal, s)
		if stale == nil {
			return st, nil
		}
		seen := s
		if s, _, err = read(dir); err == nil && s.end() == seen.end() && s.chain == seen.chain {
			return st, stale
		}
	}
}

func replay(records []record) Status {
	s := Status{Committed: map[string]Release{}}
	for _, r := range records {
		s.apply(r)
	}
	return s
}

// apply is the one place where a record changes the state.
func (s *Status) apply(r record) {
	switch r.Step {
	case stepCarry:
		*s = r.Carried.clone()
	case stepIntent:
		s.Pending = newPending(r)
	case stepAdopt:
		maps.Copy(s.Committed, r.Releases)
	case stepLift:
		for part, rel := range r.Releases {
			s.lift(part, rel)
		}
	case stepForget:
		s.Aside = slices.DeleteFunc(s.Aside, func(p RestorePoint) bool { return p.Update == r.Ref })
	}
	s.Written = r.Time
	if r.Journal != "" {
		s.journal = r.Journal
	}
	if p := s.Pending; p != nil && r.Update == p.Update {
		p.apply(r)
		s.decide(r)
	}
}

// decide applies a record that decides the pending update, or ends it.
func (s *Status) decide(r record) {
	p := s.Pending
	if r.Step == stepEnd {
		s.Last, s.Pending = p.Outcome, nil
		return
	}
	outcome, ok := map[Step]Outcome{stepAccept: r.Outcome, stepCommit: Committed, stepRolledBack: RolledBack, stepAbandoned: Abandoned}[r.Step]
	if !ok {
		return
	}
	p.Outcome, p.accepted = outcome, r.Releases
	for _, part := range p.Plan.Parts {
		accepted, third := p.accepted[part.Name]
		switch {
		case third && accepted.Version != "" && p.Outcome == Committed:
			s.Committed[part.Name] = accepted
		case part.Keep:
		case p.Outcome == Committed:
			s.Committed[part.Name] = part.commits()
		case part.From.Version != "":
			s.Committed[part.Name] = part.From
		}
	}
	if aside := p.aside(); aside != nil {
		s.Aside = append(s.Aside, *aside)
	}
	switch p.Outcome {
	case Committed:
		if p.third() {
			p.course.repaired(s, r)
		} else {
			p.course.committed(s, r)
		}
		s.RestorePoint = p.restorePoint()
	case RolledBack:
		p.course.rolledBack(s, r)
	}
}

func (s *Status) quarantine(part string, release Release, by record) {
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

// QuarantineOf returns the quarantine that covers a release of a part. A
// release without a hash matches any of its version.
func (s Status) QuarantineOf(part string, r Release) (Quarantine, bool) {
	i := slices.IndexFunc(s.Quarantined, func(q Quarantine) bool { return q.Part == part && q.Release.same(r) })
	if i < 0 {
		return Quarantine{}, false
	}
	return s.Quarantined[i], true
}
