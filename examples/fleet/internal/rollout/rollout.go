package rollout

import (
	"fmt"
	"time"
)

// Phase is the phase of a rollout.
type Phase string

// The phases of a rollout. Running and Paused can change into each other; Stopped
// is a pause by the rollout's own rules.
const (
	Running    Phase = "running"
	Paused     Phase = "paused"
	Stopped    Phase = "stopped"
	Aborted    Phase = "aborted"
	Superseded Phase = "superseded"
	Done       Phase = "done"
)

// Over reports whether the rollout has ended for good.
func (p Phase) Over() bool { return p == Aborted || p == Superseded || p == Done }

// State is the state of a site in a rollout.
type State string

// The states of a site. A site that started has exactly one of the last three as
// its outcome.
const (
	Waiting    State = "waiting"
	Granted    State = "granted"
	Started    State = "started"
	Committed  State = "committed"
	RolledBack State = "rolled back"
	Operator   State = "a person must decide"
)

// A Member is a site in a rollout.
type Member struct {
	ID        string    `json:"id"`
	Wave      int       `json:"wave"`
	State     State     `json:"state"`
	Since     time.Time `json:"since,omitzero"`      // since when it has this state
	NotBefore time.Time `json:"not_before,omitzero"` // of its grant
	NotAfter  time.Time `json:"not_after,omitzero"`
	Seq       uint64    `json:"seq,omitempty"`       // of the report that set the state
	Attempts  int       `json:"attempts,omitempty"`  // how often it started
	Code      string    `json:"code,omitempty"`      // of a rollback
	Silent    bool      `json:"silent,omitempty"`    // it started, and has no outcome after Plan.Silence
	Accepted  bool      `json:"accepted,omitempty"`  // a person resumed the rollout knowing of it
	Straggler string    `json:"straggler,omitempty"` // why its wave ended without it
}

// settled reports whether the site has an outcome.
func (m Member) settled() bool {
	return m.State == Committed || m.State == RolledBack || m.State == Operator
}

// touched reports whether the site has ever started.
func (m Member) touched() bool { return m.settled() || m.State == Started }

// busy reports whether the site takes one of the places that Plan.Cap limits.
func (m Member) busy() bool {
	return m.State == Granted || m.State == Started && (!m.Silent || !m.Accepted)
}

// An Entry is a line of a rollout's log.
type Entry struct {
	Time time.Time `json:"time"`
	Text string    `json:"text"`
}

// A Rollout is a release on its way to many sites. Its JSON is its whole state.
// It is not safe for concurrent use.
type Rollout struct {
	Plan       Plan      `json:"plan"`
	Generation uint64    `json:"generation"` // grows with each change of the phase
	Phase      Phase     `json:"phase"`
	Reason     string    `json:"reason,omitempty"` // why it is not running
	Wave       int       `json:"wave"`
	Deadline   time.Time `json:"deadline"` // of the wave
	FewCommit  bool      `json:"few_commit,omitempty"`
	Members    []Member  `json:"members"` // in the order in which they are updated
	Log        []Entry   `json:"log"`
	Asked      string    `json:"asked,omitempty"` // the request of the last decision of a person

	index map[string]int
}

// Member returns the site with an id.
func (r *Rollout) Member(id string) (Member, bool) {
	if m := r.member(id); m != nil {
		return *m, true
	}
	return Member{}, false
}

func (r *Rollout) member(id string) *Member {
	if r.index == nil {
		r.index = make(map[string]int, len(r.Members))
		for i, m := range r.Members {
			r.index[m.ID] = i
		}
	}
	i, ok := r.index[id]
	if !ok {
		return nil
	}
	return &r.Members[i]
}

// Observe takes over what a site reports, and returns whether that changed the
// rollout. Reports can come twice and late: an outcome stays.
func (r *Rollout) Observe(h Heard) bool {
	m := r.member(h.Site)
	if m == nil || h.Seq < m.Seq {
		return false
	}
	rel := r.Plan.Release
	failure, failed := h.failed(rel)
	state := m.State
	switch {
	case h.has(rel):
		state = Committed
	case failed:
		state = RolledBack
	case m.State == Committed || m.State == RolledBack:
		// what the site says of itself has no outcome: its journal was replaced
	case h.Activity == Decision && h.Release == rel:
		state = Operator
	case h.Activity == Updating && h.Release == rel:
		state = Started
	case m.State == Started || m.State == Operator && h.Activity != Decision:
		// It turned back before anything changed, as when its window closed.
		if state = Waiting; m.Attempts >= maxAttempts {
			state = Operator
		}
	}
	if state == m.State {
		return false
	}
	if state == Started {
		m.Attempts++
	}
	m.State, m.Since, m.Seq, m.Code = state, h.At.UTC(), h.Seq, failure.Code
	m.NotBefore, m.NotAfter, m.Silent, m.Accepted = time.Time{}, time.Time{}, false, false
	return true
}

// Replaced forgets how far the reports of a site are numbered, as another machine
// has taken its place and counts anew, and returns whether that changed the rollout.
func (r *Rollout) Replaced(site string) bool {
	m := r.member(site)
	if m == nil || m.Seq == 0 {
		return false
	}
	m.Seq = 0
	return true
}

// Advance does what time asks for: grants end, rules stop the rollout, waves
// end, and sites that ask get grants. It returns whether the rollout changed.
func (r *Rollout) Advance(now time.Time, known Known) bool {
	now = now.UTC()
	changed := r.expire(now)
	if r.Phase != Running {
		return changed
	}
	if why := r.wrong(); why != "" {
		r.leave(now, Stopped, why)
		return true
	}
	for r.waveOver(now, known) {
		changed = true
		if r.Phase != Running {
			return true
		}
	}
	return r.grant(now, known) || changed
}

// Grant returns what is to be published for a site: its grant, or the
// withdrawal of it.
func (r *Rollout) Grant(m Member) Grant {
	g := Grant{Site: m.ID, Rollout: r.Plan.ID, Generation: r.Generation, Release: r.Plan.Release, NotBefore: m.NotBefore, NotAfter: m.NotAfter}
	if r.Phase != Running || m.State != Granted {
		g.Withdrawn, g.NotBefore, g.NotAfter = true, time.Time{}, time.Time{}
	}
	return g
}

func (r *Rollout) leave(now time.Time, to Phase, why string) {
	r.Phase, r.Reason = to, why
	r.Generation++
	r.note(now, "%s: %s", to, why)
}

func (r *Rollout) note(now time.Time, format string, args ...any) {
	r.Log = append(r.Log, Entry{now.UTC(), fmt.Sprintf(format, args...)})
}

// Counts returns how many sites have each state.
func (r *Rollout) Counts() map[State]int {
	c := map[State]int{}
	for _, m := range r.Members {
		c[m.State]++
	}
	return c
}

// Ended returns when the rollout last changed its phase or its wave.
func (r *Rollout) Ended() time.Time {
	if len(r.Log) == 0 {
		return time.Time{}
	}
	return r.Log[len(r.Log)-1].Time
}

// Touched returns how many sites have started.
func (r *Rollout) Touched() (n int) {
	for _, m := range r.Members {
		if m.touched() {
			n++
		}
	}
	return n
}
