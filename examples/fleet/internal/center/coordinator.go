package center

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
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

const (
	timeout = 10 * time.Second
	again   = 200 * time.Millisecond // after an error of the store
	beat    = time.Second            // grants end and waves end at this pace
)

// session is the time between two losses of the store.
type session struct {
	*Coordinator
	conn      *nats.Conn
	js        jetstream.JetStream
	rollouts  jetstream.KeyValue
	desired   jetstream.KeyValue
	state     map[string]*stored
	foreign   map[string]uint64 // revisions of what is stored in the place of a rollout, by its id
	known     map[string]rollout.Heard
	long      map[string]bool          // sites whose report was cut
	ahead     map[string]bool          // sites that have seen more than the log has
	published map[string]rollout.Grant // by site
	asked     time.Time                // when the store was last asked how much it has
	changed   bool                     // since those who watch were woken
	in        chan any                 // *nats.Msg or jetstream.Msg
	health    *Health
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
	health := &Health{Started: time.Now().UTC()}
	for ctx.Err() == nil {
		s := &session{
			Coordinator: c, health: health, conn: conn, js: js, state: map[string]*stored{}, foreign: map[string]uint64{}, known: map[string]rollout.Heard{}, long: map[string]bool{}, ahead: map[string]bool{},
			published: map[string]rollout.Grant{}, in: make(chan any, 4096),
		}
		within, cancel := context.WithCancel(ctx)
		end.Store(&cancel)
		err := s.run(within)
		cancel()
		if err != nil && ctx.Err() == nil {
			s.say("the store: %v; everything is read again", err)
			health.Losses, health.Lost, health.Why = health.Losses+1, time.Now().UTC(), err.Error()
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
		FilterSubjects: []string{link.AllReports}, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy,
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
		s.changed = false
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
			if s.changed {
				if err := s.conn.Publish(link.Changed, nil); err != nil {
					return err
				}
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
		Name: link.Reports, Subjects: []string{link.AllReports}, Storage: jetstream.FileStorage, MaxMsgsPerSubject: 20, MaxMsgSize: 64 << 10, AllowDirect: true,
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

// ready begins the work once the last report of each site is known: rollouts and
// grants that the store has lost are made again, and people and sites are
// answered.
func (s *session) ready(ctx context.Context) error {
	for _, d := range s.Identity.decisions() {
		if s.state[d.plan.ID] != nil {
			continue
		}
		now := time.Now()
		// The plan was accepted once: what sites say since does not refuse it.
		r, err := rollout.Start(d.plan, s.generation(), now, func(string) (rollout.Heard, bool) { return rollout.Heard{}, false })
		if err != nil {
			return err
		}
		for _, h := range s.known {
			r.Observe(h)
		}
		free := now.Add(rollout.GrantLife + rollout.MaxSkew).UTC().Format(time.RFC3339)
		why := fmt.Sprintf("the store does not have it: it was made again from the log of the center and what the sites report. Grants from before have ended at %s: resume it then, once the sites have reported", free)
		if !d.ends.IsZero() {
			why = fmt.Sprintf("the center was restored from a backup that ends at %s: abort this rollout if that was done since, or if another one has replaced it. Otherwise resume it once the sites have reported, but not before %s: grants from before have ended then",
				d.ends.UTC().Format(time.RFC3339), free)
		}
		if err := r.Pause(now, why); err != nil {
			return err
		}
		if err := s.save(ctx, &stored{Rollout: r}); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.state)) {
		r := s.state[id]
		if r.dirty { // a report has changed it: the store gets it before the log
			if err := s.save(ctx, r); err != nil {
				return err
			}
			continue
		}
		if err := s.Identity.phase(r.Rollout); err != nil { // its keeper may have died before
			return err
		}
		if err := s.publish(ctx, r); err != nil {
			return err
		}
	}
	for _, subject := range []string{link.Control, link.AllEnroll} {
		sub, err := s.conn.Subscribe(subject, func(m *nats.Msg) { s.put(ctx, m) })
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = sub.Unsubscribe() })
	}
	return nil
}

// generation returns a generation that is newer than any that the center has
// issued. Its log has them, and they begin at the time: so a log from a backup is
// enough. Sites that have seen more are believed within slack alone: one of them
// could otherwise use up all generations, for all.
func (s *session) generation() uint64 {
	g := max(seconds(time.Now()), s.Identity.highest())
	for _, r := range s.state {
		g = max(g, r.Generation)
	}
	for _, h := range s.known {
		if s.fault(h) == "" {
			g = max(g, h.Seen)
		}
	}
	return g + 1
}

// slack is how far a generation can be ahead of the time when the log does not
// have it: by changes of phases within a second, and a clock that was set back.
const slack = time.Hour

func seconds(t time.Time) uint64 { return uint64(t.Unix()) } //nolint:gosec // not before 1970

// fault returns what is wrong with a report that is the site's own, "" if nothing is.
func (s *session) fault(h rollout.Heard) string {
	if h.Seen <= max(s.Identity.highest(), seconds(h.At.Add(slack))) {
		return ""
	}
	return fmt.Sprintf("it says that it has seen generation %d, which this center has not issued: that is not believed; check the site, or revoke it", h.Seen)
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
		s.respond(m, answer)
	}
	return 0, nil
}

// respond answers. Whatever is wrong with an answer, the store is well.
func (s *session) respond(m *nats.Msg, answer any) {
	b, err := json.Marshal(answer)
	if err == nil {
		err = m.Respond(b)
	}
	if err == nil {
		return
	}
	s.say("a request at %s cannot be answered: %v", m.Subject, err)
	if b, err = json.Marshal(Answer{Error: fmt.Sprintf("the answer of %d bytes cannot be sent: %v", len(b), err)}); err == nil {
		_ = m.Respond(b) // the sender may have given no subject for it
	}
}

// hear takes a report, unless it is forged or older than what is known.
func (s *session) hear(m jetstream.Msg, at time.Time) {
	id, err := link.Reporter(m.Subject())
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
	s.long[id] = brief(&rep)
	h := rollout.Heard{Report: rep, At: at, On: at}
	if why := s.fault(h); why != "" && rep.Seen != s.known[id].Seen {
		s.say("site %q: %s", id, why)
	}
	s.known[id], s.changed = h, true
	for _, r := range s.state {
		r.dirty = r.Observe(h) || r.dirty // also of one that is over: what has begun ends
	}
	if s.fault(h) == "" && h.Seen > s.Identity.highest() {
		s.behind(h)
	}
}

// behind pauses the rollouts of a site that has seen a generation which the log does
// not have, though each is in the log before a grant has it: log and store are those of
// an earlier time. Their generations are raised, since the site refuses lower ones. A
// person decides about a site once: it cannot stop a rollout again and again.
func (s *session) behind(h rollout.Heard) {
	again := s.ahead[h.Site]
	s.ahead[h.Site] = true
	if !again {
		s.say("site %q has seen a later decision than the log of the center has: the center was put back to an earlier time, or the site is wrong", h.Site)
	}
	for _, r := range s.state {
		if _, ok := r.Member(h.Site); !ok || r.Phase.Over() || r.Generation > h.Seen {
			continue
		}
		r.Generation, r.dirty = s.generation(), true
		if r.Phase == rollout.Running && !again {
			_ = r.Pause(time.Now(), fmt.Sprintf("site %q has seen a later decision than the log of the center has: the center was put back to an earlier time. Revoke again the sites that were revoked since. Abort this rollout if that was done since, or if another one has replaced it; otherwise resume it", h.Site)) // it is running, and there is a reason
		}
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
