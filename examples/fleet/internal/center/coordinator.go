package center

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
)

// A Coordinator runs the rollouts. All that it knows is in the store and in the
// identity's log, so it can be killed at any time and started again. Should two
// run at once, each change is made by one of them: rollouts are written by
// compare and set, before anything is published.
type Coordinator struct {
	Identity *Identity
	URL      string
	// Revoked is called after sites were revoked or replaced: [Server.Update].
	Revoked func() error // may be nil
	Log     func(string) // may be nil
}

// A Command is a decision of a person, sent to link.Control.
type Command struct {
	Op      string        `json:"op"` // start, pause, resume, abort, status, sites, ticket, revoke
	Rollout string        `json:"rollout,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	Plan    *rollout.Plan `json:"plan,omitempty"`
	Site    string        `json:"site,omitempty"`
	URL     string        `json:"url,omitempty"` // of a ticket: where the site connects to
}

// An Answer is what a Command returns.
type Answer struct {
	Error    string             `json:"error,omitempty"`
	Rollouts []*rollout.Rollout `json:"rollouts,omitempty"`
	Sites    []SiteState        `json:"sites,omitempty"`
	Ticket   *link.Membership   `json:"ticket,omitempty"`
}

// A SiteState is what the center knows of an enrolled site.
type SiteState struct {
	ID    string         `json:"id"`
	Heard *rollout.Heard `json:"heard,omitempty"`
}

// An enrollment is what a new site sends, and what it gets.
type enrollment struct {
	Key   string `json:"key,omitempty"`
	JWT   string `json:"jwt,omitempty"`
	Error string `json:"error,omitempty"`
}

const (
	timeout = 10 * time.Second
	again   = 200 * time.Millisecond // after an error of the store
	beat    = time.Second            // grants end and waves end at this pace
)

// A stored rollout is a rollout with its revision in the store.
type stored struct {
	*rollout.Rollout
	revision uint64
	dirty    bool // it differs from what is stored
}

// session is the time between two losses of the store.
type session struct {
	*Coordinator
	conn      *nats.Conn
	js        jetstream.JetStream
	rollouts  jetstream.KeyValue
	desired   jetstream.KeyValue
	state     map[string]*stored
	known     map[string]rollout.Heard
	published map[string]rollout.Grant // by site
	in        chan any                 // *nats.Msg or jetstream.Msg
}

// Run coordinates until ctx is done. After an error of the store, a time-out
// included, it reads everything again: it never assumes that what timed out has
// failed.
func (c *Coordinator) Run(ctx context.Context) error {
	login, err := c.Identity.Login(c.URL)
	if err != nil {
		return err
	}
	// What was asked before a cut is not answered after it: the session ends with
	// the connection.
	var end atomic.Pointer[context.CancelFunc]
	conn, err := login.Connect("coordinator", nats.DisconnectErrHandler(func(*nats.Conn, error) {
		if cancel := end.Load(); cancel != nil {
			(*cancel)()
		}
	}))
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		s := &session{
			Coordinator: c, conn: conn, js: js, state: map[string]*stored{}, known: map[string]rollout.Heard{},
			published: map[string]rollout.Grant{}, in: make(chan any, 4096),
		}
		within, cancel := context.WithCancel(ctx)
		end.Store(&cancel)
		err := s.run(within)
		cancel()
		if err != nil && ctx.Err() == nil {
			s.say("the store: %v; everything is read again", err)
			select {
			case <-ctx.Done():
			case <-time.After(again):
			}
		}
	}
	return nil
}

func (c *Coordinator) say(format string, args ...any) {
	if c.Log != nil {
		c.Log(fmt.Sprintf(format, args...))
	}
}

func (s *session) run(ctx context.Context) error {
	last, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	consumer, err := s.js.OrderedConsumer(ctx, link.Reports, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{"report.*"}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
	})
	if err != nil {
		return err
	}
	reports, err := consumer.Consume(func(m jetstream.Msg) { s.put(ctx, m) })
	if err != nil {
		return err
	}
	defer reports.Stop()
	read := last == 0 // no decision before the last report of each site is known
	if read {
		if err := s.ready(ctx); err != nil {
			return err
		}
	}
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		var m any
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case m = <-s.in:
		}
		for ; m != nil; m = s.next() {
			if seq, err := s.handle(ctx, m); err != nil {
				return err
			} else if seq >= last && !read {
				read = true
				if err := s.ready(ctx); err != nil {
					return err
				}
			}
		}
		if read {
			if err := s.advance(ctx); err != nil {
				return err
			}
		}
	}
}

// put hands a message to the loop.
func (s *session) put(ctx context.Context, m any) {
	select {
	case s.in <- m:
	case <-ctx.Done():
	}
}

// next returns the next message that has come, nil if there is none.
func (s *session) next() any {
	select {
	case m := <-s.in:
		return m
	default:
		return nil
	}
}

// prepare makes what the store needs, and returns the sequence of the last report.
func (s *session) prepare(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	reports, err := s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: link.Reports, Subjects: []string{"report.*"}, Storage: jetstream.FileStorage, MaxMsgsPerSubject: 20, MaxMsgSize: 64 << 10, AllowDirect: true,
	})
	if err != nil {
		return 0, err
	}
	if s.desired, err = s.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: link.Desired, History: 1}); err != nil {
		return 0, err
	}
	if s.rollouts, err = s.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: link.Rollouts, History: 5}); err != nil {
		return 0, err
	}
	return reports.CachedInfo().State.LastSeq, nil
}

// load reads the rollouts and the published grants.
func (s *session) load(ctx context.Context) error {
	if err := each(ctx, s.rollouts, func(key string, e jetstream.KeyValueEntry) error {
		r := &stored{Rollout: &rollout.Rollout{}, revision: e.Revision()}
		s.state[key] = r
		return json.Unmarshal(e.Value(), r.Rollout)
	}); err != nil {
		return err
	}
	return each(ctx, s.desired, func(_ string, e jetstream.KeyValueEntry) error {
		var g rollout.Grant
		if err := rollout.Unseal(public(s.Identity.coordinator), "grant", e.Value(), &g); err != nil {
			s.say("a grant in the store is not the center's own and is replaced: %v", err)
			return nil
		}
		s.published[g.Site] = g
		return nil
	})
}

// each calls use with all entries of a bucket.
func each(ctx context.Context, kv jetstream.KeyValue, use func(key string, e jetstream.KeyValueEntry) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-w.Updates():
			if e == nil {
				return nil
			}
			key, err := link.Decode(e.Key())
			if err != nil {
				return err
			}
			if err := use(key, e); err != nil {
				return fmt.Errorf("%s of %s: %w", e.Key(), e.Bucket(), err)
			}
		}
	}
}

// ready begins the work once the last report of each site is known: rollouts that
// the store has lost are made again, and people and sites are answered.
func (s *session) ready(ctx context.Context) error {
	for _, d := range s.Identity.decisions() {
		if s.state[d.plan.ID] != nil {
			continue
		}
		now := time.Now()
		r, err := rollout.Start(d.plan, s.generation(), now, s.lookup)
		if err != nil {
			return err
		}
		if err := r.Pause(now, fmt.Sprintf("the store does not have it: it was made again from the log of the center and what the sites report. Grants from before have ended at %s: resume it then, once the sites have reported",
			now.Add(rollout.GrantLife+rollout.MaxSkew).UTC().Format(time.RFC3339))); err != nil {
			return err
		}
		if err := s.save(ctx, &stored{Rollout: r}); err != nil {
			return err
		}
	}
	for _, subject := range []string{link.Control, "enroll.*.*"} {
		sub, err := s.conn.Subscribe(subject, func(m *nats.Msg) { s.put(ctx, m) })
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = sub.Unsubscribe() })
	}
	return nil
}

// generation returns a generation that is newer than any that a site can have
// seen, also if all else was lost.
func (s *session) generation() uint64 {
	g := uint64(time.Now().Unix()) //nolint:gosec // not before 1970
	for _, r := range s.state {
		g = max(g, r.Generation)
	}
	for _, h := range s.known {
		g = max(g, h.Seen)
	}
	return g + 1
}

func (s *session) lookup(site string) (rollout.Heard, bool) {
	h, ok := s.known[site]
	return h, ok
}

// handle takes a message, and returns the sequence of a report.
func (s *session) handle(ctx context.Context, m any) (uint64, error) {
	switch m := m.(type) {
	case jetstream.Msg:
		meta, err := m.Metadata()
		if err != nil {
			return 0, err
		}
		s.hear(m, meta.Timestamp)
		return meta.Sequence.Stream, nil
	case *nats.Msg:
		var answer any
		if m.Subject == link.Control {
			a, err := s.command(ctx, m.Data)
			if errors.Is(err, errStore) {
				return 0, err // no answer: it will be asked again
			}
			if err != nil {
				a.Error = err.Error()
			}
			answer = a
		} else {
			answer = s.enroll(m)
		}
		b, err := json.Marshal(answer)
		if err != nil {
			return 0, err
		}
		return 0, m.Respond(b)
	}
	return 0, nil
}

// hear takes a report, unless it is forged or older than what is known.
func (s *session) hear(m jetstream.Msg, at time.Time) {
	id, err := link.Decode(strings.TrimPrefix(m.Subject(), "report."))
	key := s.Identity.key(id)
	if err != nil || key == "" {
		return // it was revoked
	}
	var rep rollout.Report
	if err := rollout.Unseal(key, "report", m.Data(), &rep); err != nil || rep.Site != id {
		s.say("a report in the name of %q is not its own", id)
		return
	}
	if rep.Seq < s.known[id].Seq {
		return
	}
	h := rollout.Heard{Report: rep, At: at, On: at}
	s.known[id] = h
	for _, r := range s.state {
		r.dirty = r.Observe(h) || r.dirty // also of one that is over: what has begun ends
	}
}

// advance does what reports and time ask for.
func (s *session) advance(ctx context.Context) error {
	for _, id := range slices.Sorted(maps.Keys(s.state)) {
		r := s.state[id]
		if r.Phase.Over() && !r.dirty {
			continue
		}
		if changed := r.Advance(time.Now(), s.lookup); !changed && !r.dirty {
			continue
		}
		if err := s.save(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// errStore is wrapped by errors after which everything is read again.
var errStore = errors.New("the store has not confirmed a change")

// save stores a rollout, and then publishes what follows from it.
func (s *session) save(ctx context.Context, r *stored) error {
	b, err := json.Marshal(r.Rollout)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	key := link.Encode(r.Plan.ID)
	if r.revision == 0 {
		r.revision, err = s.rollouts.Create(within, key, b)
	} else {
		r.revision, err = s.rollouts.Update(within, key, b, r.revision)
	}
	if err != nil {
		return fmt.Errorf("%w: rollout %s: %w", errStore, r.Plan.ID, err)
	}
	r.dirty = false
	s.state[r.Plan.ID] = r
	if err := s.Identity.phase(r.Plan.ID, r.Phase, r.Reason); err != nil {
		return err
	}
	return s.publish(ctx, r)
}

// publish publishes the grants of a rollout that are not published yet, and wakes
// their sites.
func (s *session) publish(ctx context.Context, r *stored) error {
	for _, m := range r.Members {
		g, old := r.Grant(m), s.published[m.ID]
		if g.Withdrawn && (old.Rollout != g.Rollout || old.Withdrawn) || same(g, old) {
			continue
		}
		b, err := rollout.Seal(s.Identity.coordinator, "grant", g)
		if err != nil {
			return err
		}
		within, cancel := context.WithTimeout(ctx, timeout)
		_, err = s.desired.Put(within, link.Encode(m.ID), b)
		cancel()
		if err != nil {
			return fmt.Errorf("%w: the grant of %q: %w", errStore, m.ID, err)
		}
		s.published[m.ID] = g
		if err := s.conn.Publish(link.WakeSubject(m.ID), nil); err != nil {
			return err
		}
	}
	return nil
}

func same(a, b rollout.Grant) bool {
	return a.Rollout == b.Rollout && a.Generation == b.Generation && a.Withdrawn == b.Withdrawn && a.NotAfter.Equal(b.NotAfter)
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
	parts := strings.Split(m.Subject, ".") // enroll, site, ticket: the server has checked that the sender has this ticket
	site, err := link.Decode(parts[1])
	if err == nil {
		err = json.Unmarshal(m.Data, &e)
	}
	if err == nil {
		answer.JWT, err = s.Identity.Enroll(site, parts[2], e.Key)
	}
	if err == nil {
		delete(s.known, site) // of the machine that it replaces
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
	now := time.Now()
	decide := func(f func(*stored) error) error {
		r := s.state[c.Rollout]
		if r == nil {
			return fmt.Errorf("rollout %q not found", c.Rollout)
		}
		if err := f(r); err != nil {
			return err
		}
		a.Rollouts = append(a.Rollouts, r.Rollout)
		return s.save(ctx, r)
	}
	switch c.Op {
	case "start":
		return a, s.start(ctx, now, c.Plan, &a)
	case "pause":
		return a, decide(func(r *stored) error { return r.Pause(now, c.Reason) })
	case "resume":
		return a, decide(func(r *stored) error { return r.Resume(now, c.Reason) })
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
		for _, id := range s.Identity.Sites() {
			state := SiteState{ID: id}
			if h, ok := s.known[id]; ok {
				state.Heard = &h
			}
			a.Sites = append(a.Sites, state)
		}
		return a, nil
	case "ticket":
		ticket, err := s.Identity.Ticket(c.Site, c.URL)
		a.Ticket = &ticket
		return a, err
	case "revoke":
		if err := s.Identity.Revoke(c.Site, c.Reason); err != nil {
			return a, err
		}
		delete(s.known, c.Site)
		return a, s.revoked()
	}
	return a, fmt.Errorf("unknown operation %q", c.Op)
}

// start starts a rollout. Rollouts of the same distribution that are not over are
// superseded: of a release that was released again nothing more is installed.
func (s *session) start(ctx context.Context, now time.Time, p *rollout.Plan, a *Answer) error {
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
	if err := s.Identity.plan(*p); err != nil {
		return err
	}
	a.Rollouts = append(a.Rollouts, r)
	return s.save(ctx, &stored{Rollout: r})
}
