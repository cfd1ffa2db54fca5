package center

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
)

// A Command is a decision of a person, sent to link.Control.
type Command struct {
	// ID is of the person's request, which can be sent again: what it asks for is done once.
	ID      string        `json:"id,omitempty"`
	Op      string        `json:"op"` // start, pause, resume, abort, status, sites, overview, ticket, revoke
	Rollout string        `json:"rollout,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	Plan    *rollout.Plan `json:"plan,omitempty"`
	Site    string        `json:"site,omitempty"`
	URL     string        `json:"url,omitempty"` // of a ticket: where the site connects to

	// Generation is that of the rollout which the person has seen: another one is
	// refused. 0 is any.
	Generation uint64 `json:"generation,omitempty"`
	// Accepts is how many failures the person has seen, which resume accepts: another number is
	// refused. Nil is any.
	Accepts *int `json:"accepts,omitempty"`
}

// An Answer is what a Command returns.
type Answer struct {
	Error    string             `json:"error,omitempty"`
	Rollouts []*rollout.Rollout `json:"rollouts,omitempty"`
	Sites    []SiteState        `json:"sites,omitempty"`
	Ticket   *link.Membership   `json:"ticket,omitempty"`
	Older    []string           `json:"older,omitempty"` // ids of rollouts that an overview leaves out
	Health   *Health            `json:"health,omitempty"`
}

// A SiteState is what the center knows of an enrolled site.
type SiteState struct {
	ID    string         `json:"id"`
	Heard *rollout.Heard `json:"heard,omitempty"`
	Fault string         `json:"fault,omitempty"` // what it says and cannot be; it is not believed
}

// An enrollment is what a new site sends, and what it gets.
type enrollment struct {
	Key   string `json:"key,omitempty"`
	JWT   string `json:"jwt,omitempty"`
	Error string `json:"error,omitempty"`
}

// revoked makes the server refuse the keys that were revoked.
func (s *session) revoked() error {
	if s.Revoked == nil {
		return nil
	}
	return s.Revoked()
}

// enroll answers the holder of a ticket.
func (s *session) enroll(m *nats.Msg) (answer enrollment) {
	var e enrollment
	site, ticket, err := link.Enrolled(m.Subject) // the server has checked that the sender has this ticket
	if err == nil {
		err = json.Unmarshal(m.Data, &e)
	}
	if err == nil {
		answer.JWT, err = s.Identity.Enroll(site, ticket, e.Key)
	}
	if err == nil {
		delete(s.known, site) // of the machine that it replaces
		s.changed = true
		for _, r := range s.state {
			r.dirty = r.Replaced(site) || r.dirty
		}
		err = s.revoked()
	}
	if err != nil {
		return enrollment{Error: err.Error()}
	}
	s.say("site %q is enrolled", site)
	return answer
}

// command carries out the decision of a person.
func (s *session) command(ctx context.Context, data []byte) (a Answer, err error) {
	var c Command
	if err := json.Unmarshal(data, &c); err != nil {
		return a, err
	}
	if c.Op != "revoke" && s.Identity.done(c.ID) { // its answer was lost, in a cut or with the coordinator
		id := c.Rollout
		if c.Plan != nil {
			id = c.Plan.ID
		}
		r := s.state[id]
		if r == nil {
			return a, fmt.Errorf("rollout %q not found", id)
		}
		return Answer{Rollouts: []*rollout.Rollout{r.Rollout}}, nil
	}
	now := time.Now()
	decide := func(f func(*stored) error) error {
		r := s.state[c.Rollout]
		if r == nil {
			return fmt.Errorf("rollout %q not found", c.Rollout)
		}
		if c.Generation != 0 && c.Generation != r.Generation {
			return fmt.Errorf("%w: rollout %s has changed meanwhile: it is %s", rollout.ErrPhase, c.Rollout, r.Phase)
		}
		if err := f(r); err != nil {
			return err
		}
		r.Asked = c.ID
		a.Rollouts = append(a.Rollouts, r.Rollout)
		return s.save(ctx, r)
	}
	switch c.Op {
	case "start":
		return a, s.start(ctx, now, c, &a)
	case "pause":
		return a, decide(func(r *stored) error { return r.Pause(now, c.Reason) })
	case "resume":
		return a, decide(func(r *stored) error {
			if n := r.Unaccepted(); c.Accepts != nil && *c.Accepts != n {
				return fmt.Errorf("%w: %d failures would be accepted, and %d were shown", rollout.ErrPhase, n, *c.Accepts)
			}
			return r.Resume(now, c.Reason)
		})
	case "abort":
		return a, decide(func(r *stored) error { return r.Abort(now, c.Reason) })
	case "status":
		for _, id := range slices.Sorted(maps.Keys(s.state)) {
			if c.Rollout == "" || c.Rollout == id {
				a.Rollouts = append(a.Rollouts, s.state[id].Rollout)
			}
		}
		if c.Rollout != "" && len(a.Rollouts) == 0 {
			return a, fmt.Errorf("rollout %q not found", c.Rollout)
		}
		return a, nil
	case "sites":
		a.Sites = s.sites()
		return a, nil
	case "overview":
		return s.overview(ctx), nil
	case "ticket":
		ticket, err := s.Identity.Ticket(c.Site, c.URL)
		a.Ticket = &ticket
		return a, err
	case "revoke":
		if err := s.Identity.Revoke(c.Site, c.Reason, c.ID); err != nil {
			return a, err
		}
		delete(s.known, c.Site)
		s.changed = true
		return a, s.revoked()
	}
	return a, fmt.Errorf("unknown operation %q", c.Op)
}

func (s *session) sites() (all []SiteState) {
	for _, id := range s.Identity.Sites() {
		state := SiteState{ID: id}
		if h, ok := s.known[id]; ok {
			state.Heard, state.Fault = &h, s.fault(h)
			if state.Fault == "" && s.long[id] {
				state.Fault = "its report is longer than that of any site should be, and was cut; check the site, or revoke it"
			}
		}
		all = append(all, state)
	}
	return all
}

// start starts a rollout. Rollouts of the same distribution that are not over are
// superseded: of a release that was released again nothing more is installed.
func (s *session) start(ctx context.Context, now time.Time, c Command, a *Answer) error {
	p := c.Plan
	if p == nil {
		return fmt.Errorf("%w: the plan is missing", rollout.ErrPlan)
	}
	if s.state[p.ID] != nil {
		return fmt.Errorf("%w: there is a rollout %s already", rollout.ErrPlan, p.ID)
	}
	var unknown []string
	for _, id := range slices.Concat(p.Canaries, p.Sites) {
		if s.Identity.key(id) == "" {
			unknown = append(unknown, fmt.Sprintf("%q", id))
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("%w: sites that are not enrolled: %s", rollout.ErrPlan, strings.Join(unknown, ", "))
	}
	generation := s.generation()
	r, err := rollout.Start(*p, generation+1, now, s.lookup)
	if err != nil {
		return err
	}
	var old []*stored
	for _, id := range slices.Sorted(maps.Keys(s.state)) {
		o := s.state[id]
		if o.Phase.Over() || o.Plan.Release.Distribution != p.Release.Distribution {
			continue
		}
		if o.Plan.Release == p.Release {
			return fmt.Errorf("%w: rollout %s of the same release is %s: resume or abort it", rollout.ErrPlan, id, o.Phase)
		}
		old = append(old, o)
	}
	for _, o := range old {
		if err := o.Supersede(now, *p); err != nil {
			return err
		}
		if err := s.save(ctx, o); err != nil {
			return err
		}
	}
	if err := s.Identity.plan(*p, r.Generation, c.ID); err != nil {
		return err
	}
	r.Asked = c.ID
	a.Rollouts = append(a.Rollouts, r)
	return s.save(ctx, &stored{Rollout: r})
}
