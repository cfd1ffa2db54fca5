package center_test

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
)

// hosted is a center in this process.
type hosted struct {
	t        *testing.T
	identity *center.Identity
	server   *center.Server
	url      string
	login    link.Login
	stop     func() // the coordinator
}

func host(t *testing.T) *hosted {
	dir := filepath.Join(t.TempDir(), "center")
	require.NoError(t, center.Create(dir, "127.0.0.1"))
	identity, err := center.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = identity.Close() })
	server, err := identity.Serve("127.0.0.1", -1)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	h := &hosted{t: t, server: server, identity: identity, url: strings.Replace(server.URL(), "nats://", "tls://", 1)}
	h.login, err = identity.Login(h.url)
	require.NoError(t, err)
	h.coordinate()
	t.Cleanup(func() { h.stop() })
	_, err = h.ask(center.Command{Op: "status"}) // its store is there
	require.NoError(t, err)
	return h
}

// coordinate starts a coordinator.
func (h *hosted) coordinate() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = (&center.Coordinator{Identity: h.identity, URL: h.url, Revoked: h.server.Update, Log: func(text string) { h.t.Log(text) }}).Run(ctx)
	}()
	h.stop = func() { cancel(); <-ended }
}

func (h *hosted) ask(c center.Command) (center.Answer, error) {
	within, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	return center.Ask(within, h.login, c)
}

// connect connects until the test ends.
func (h *hosted) connect(l link.Login) *nats.Conn {
	l.URL = h.url
	conn, err := l.Connect("test")
	require.NoError(h.t, err)
	h.t.Cleanup(conn.Close)
	return conn
}

// A member of the fleet whose key is in the hands of the test.
type member struct {
	link.Membership
	conn *nats.Conn
	key  nkeys.KeyPair
}

func (h *hosted) member(site string) member {
	m := member{Membership: enroll(h.t, h.identity, site)}
	var err error
	m.key, err = nkeys.FromSeed([]byte(m.Login.Seed))
	require.NoError(h.t, err)
	m.conn = h.connect(m.Login)
	return m
}

func (h *hosted) report(m member, rep rollout.Report) {
	h.t.Helper()
	if rep.Time.IsZero() {
		rep.Time = time.Now().UTC()
	}
	b, err := rollout.Seal(m.key, "report", rep)
	require.NoError(h.t, err)
	answer, err := m.conn.Request(link.ReportSubject(m.Site), b, time.Minute)
	require.NoError(h.t, err)
	require.Contains(h.t, string(answer.Data), `"seq"`)
}

// TestReplySubjects has all that the key of a site and a ticket may send, with
// the subjects of the stores, and of other sites, to answer at: the answers of the
// center's store and coordinator must not reach them.
func TestReplySubjects(t *testing.T) {
	h := host(t)
	mine := h.member("село")
	enroll(t, h.identity, "город")
	a, err := h.ask(center.Command{Op: "ticket", Site: "деревня", URL: h.url})
	require.NoError(t, err)
	ticket := h.connect(a.Ticket.Login)
	plan := rollout.Plan{ID: "r1", Release: next, Canaries: []string{"город"}, Cap: 1}
	_, err = h.ask(center.Command{Op: "start", Plan: &plan})
	require.NoError(t, err)

	conn := h.connect(h.login)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	all := func() string {
		found := map[string]uint64{}
		for _, name := range []string{link.Reports, "KV_" + link.Desired, "KV_" + link.Rollouts} {
			s, err := js.Stream(t.Context(), name)
			require.NoError(t, err)
			info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
			require.NoError(t, err)
			maps.Copy(found, info.State.Subjects)
		}
		delete(found, link.ReportSubject("село")) // its own
		b, err := json.Marshal(found)
		require.NoError(t, err)
		return string(b)
	}
	before := all()
	own := link.SiteRights("село", "").Pub.Allow
	require.Contains(t, own, link.ReportSubject("село"))
	targets := []string{
		"$KV." + link.Rollouts + "." + link.Encode("r1"), "$KV." + link.Desired + "." + link.Encode("город"),
		link.ReportSubject("город"), link.EnrollSubject("город", "x"), link.Control,
	}
	for _, reply := range targets {
		for _, subject := range own {
			require.NoError(t, mine.conn.PublishRequest(subject, reply, []byte("{}")))
		}
		require.NoError(t, ticket.PublishRequest(link.TicketRights("деревня", ticketKey(t, *a.Ticket)).Pub.Allow[0], reply, []byte("{}")))
	}
	// What was sent before an answer was handled before it, and so was what it
	// caused: the stores take what comes in its order.
	for _, subject := range own {
		_, err := mine.conn.Request(subject, []byte("{}"), time.Minute)
		require.NoError(t, err)
	}
	_, err = ticket.Request(link.EnrollSubject("деревня", ticketKey(t, *a.Ticket)), []byte("{}"), time.Minute)
	require.NoError(t, err)
	for _, subject := range []string{"$KV." + link.Rollouts + ".fence", "$KV." + link.Desired + ".fence", link.ReportSubject("fence")} {
		_, err := js.Publish(t.Context(), subject, nil)
		require.NoError(t, err)
		s, err := js.StreamNameBySubject(t.Context(), subject)
		require.NoError(t, err)
		stream, err := js.Stream(t.Context(), s)
		require.NoError(t, err)
		require.NoError(t, stream.Purge(t.Context(), jetstream.WithPurgeSubject(subject)))
	}
	assert.Equal(t, before, all())
	status, err := h.ask(center.Command{Op: "status"})
	require.NoError(t, err)
	require.Len(t, status.Rollouts, 1)
	assert.Equal(t, []string{"город"}, slices.Collect(func(yield func(string) bool) {
		for _, m := range status.Rollouts[0].Members {
			yield(m.ID)
		}
	}))
}

func ticketKey(t *testing.T, m link.Membership) string {
	key, err := nkeys.FromSeed([]byte(m.Login.Seed))
	require.NoError(t, err)
	public, err := key.PublicKey()
	require.NoError(t, err)
	return public
}

// TestForeignStore has other values in the place of a rollout and of a grant than
// those of the center: they are ignored and made again.
func TestForeignStore(t *testing.T) {
	h := host(t)
	m := h.member("село")
	h.report(m, rollout.Report{Site: "село", Seq: 1, Activity: rollout.Asking, Until: time.Now().Add(time.Hour), Committed: []rollout.Release{old}})
	_, err := h.ask(center.Command{Op: "start", Plan: &rollout.Plan{ID: "r1", Release: next, Canaries: []string{"село"}, Cap: 1}})
	require.NoError(t, err)
	granted := func() (g rollout.Grant) {
		require.Eventually(t, func() bool {
			answer, err := m.conn.Request(link.GrantSubject("село"), nil, time.Minute)
			require.NoError(t, err)
			return rollout.Unseal(m.Center, "grant", answer.Data, &g) == nil
		}, time.Minute, 5*time.Millisecond)
		return g
	}
	require.False(t, granted().Withdrawn)
	h.stop()
	conn := h.connect(h.login)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	for _, subject := range []string{"$KV." + link.Rollouts + "." + link.Encode("r1"), "$KV." + link.Rollouts + ".НЕТ", "$KV." + link.Desired + "." + link.Encode("село")} {
		_, err = js.Publish(t.Context(), subject, []byte(`{"stream":"REPORTS","seq":1}`))
		require.NoError(t, err)
	}
	// Meanwhile it says that it has another distribution: that refused a plan.
	other := old
	other.Distribution = "other"
	h.report(m, rollout.Report{Site: "село", Seq: 2, Activity: rollout.Asking, Until: time.Now().Add(time.Hour), Committed: []rollout.Release{other}})
	h.coordinate()
	a, err := h.ask(center.Command{Op: "status"})
	require.NoError(t, err)
	require.Len(t, a.Rollouts, 1)
	assert.Equal(t, "r1", a.Rollouts[0].Plan.ID)
	assert.Equal(t, rollout.Paused, a.Rollouts[0].Phase)
	assert.Len(t, a.Rollouts[0].Members, 1)
	_, err = h.ask(center.Command{Op: "resume", Rollout: "r1", Reason: "seen"})
	require.NoError(t, err)
	assert.Equal(t, "r1", granted().Rollout)
}

// TestSeenOfASite has a site that says it has seen more generations than there can
// be. It is shown, and the next grant is as if it had not said it; what an honest
// site has seen counts.
func TestSeenOfASite(t *testing.T) {
	h := host(t)
	bad, good := h.member("село"), h.member("город")
	start := func(id string, p rollout.Release) uint64 {
		a, err := h.ask(center.Command{Op: "start", Plan: &rollout.Plan{ID: id, Release: p, Canaries: []string{"город"}, Cap: 1}})
		require.NoError(t, err)
		return a.Rollouts[0].Generation
	}
	fault := func(site string) string {
		a, err := h.ask(center.Command{Op: "sites"})
		require.NoError(t, err)
		i := slices.IndexFunc(a.Sites, func(s center.SiteState) bool { return s.ID == site && s.Heard != nil })
		if i < 0 {
			return "not heard"
		}
		return a.Sites[i].Fault
	}
	h.report(bad, rollout.Report{Site: "село", Seq: 1, Seen: math.MaxUint64 - 2})
	require.Eventually(t, func() bool { return strings.Contains(fault("село"), "has not issued") }, time.Minute, 5*time.Millisecond)
	now := uint64(time.Now().Unix())
	first := start("r1", next)
	assert.GreaterOrEqual(t, first, now)
	assert.Less(t, first, now+3600)
	h.report(bad, rollout.Report{Site: "село", Seq: 2, Seen: math.MaxUint64})
	require.Eventually(t, func() bool { return strings.Contains(fault("село"), "18446744073709551615") }, time.Minute, 5*time.Millisecond)
	// A store and a log that were lost: the sites have seen more than the center knows.
	h.report(good, rollout.Report{Site: "город", Seq: 1, Seen: first + 100})
	require.Eventually(t, func() bool { return fault("город") == "" }, time.Minute, 5*time.Millisecond)
	again := next
	again.SHA256 = strings.Repeat("b", 64)
	second := start("r2", again)
	assert.Greater(t, second, first+100)
	assert.Less(t, second, now+3600)
}

// TestTicketThatIsRevoked revokes a site that has not enrolled: its ticket cannot be
// used any more.
func TestTicketThatIsRevoked(t *testing.T) {
	h := host(t)
	a, err := h.ask(center.Command{Op: "ticket", Site: "село", URL: h.url})
	require.NoError(t, err)
	h.connect(a.Ticket.Login)
	_, err = h.ask(center.Command{Op: "revoke", Site: "село", Reason: "sent to the wrong address"})
	require.NoError(t, err)
	refused(t, a.Ticket.Login)
	key, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := key.PublicKey()
	require.NoError(t, err)
	_, err = h.identity.Enroll("село", ticketKey(t, *a.Ticket), public)
	require.ErrorContains(t, err, "the ticket is unknown")
	_, err = h.ask(center.Command{Op: "revoke", Site: "село", Reason: "again"})
	require.ErrorContains(t, err, "is not enrolled and has no ticket")
}

// TestEarlierTicket replaces a machine: the ticket of the first does not replace the
// second, and the number of its reports does not silence it.
func TestEarlierTicket(t *testing.T) {
	h := host(t)
	first, err := h.ask(center.Command{Op: "ticket", Site: "село", URL: h.url})
	require.NoError(t, err)
	join := func(ticket link.Membership) (m member, err error) {
		m.key, err = nkeys.CreateUser()
		require.NoError(t, err)
		if m.Membership, err = center.Join(t.Context(), ticket, m.key); err == nil {
			m.conn = h.connect(m.Login)
		}
		return m, err
	}
	bad, err := join(*first.Ticket)
	require.NoError(t, err)
	_, err = h.ask(center.Command{Op: "start", Plan: &rollout.Plan{ID: "r1", Release: next, Canaries: []string{"село"}, Cap: 1}})
	require.NoError(t, err)
	state := func() rollout.State {
		a, err := h.ask(center.Command{Op: "status"})
		require.NoError(t, err)
		return a.Rollouts[0].Members[0].State
	}
	h.report(bad, rollout.Report{Site: "село", Seq: math.MaxUint64, Activity: rollout.Updating, Release: next})
	require.Eventually(t, func() bool { return state() == rollout.Started }, time.Minute, 5*time.Millisecond)
	second, err := h.ask(center.Command{Op: "ticket", Site: "село", URL: h.url})
	require.NoError(t, err)
	good, err := join(*second.Ticket)
	require.NoError(t, err)
	h.report(good, rollout.Report{Site: "село", Seq: 1, Committed: []rollout.Release{next}})
	require.Eventually(t, func() bool { return state() == rollout.Committed }, 20*time.Second, 5*time.Millisecond)
	_, err = join(*first.Ticket)
	require.ErrorContains(t, err, "the ticket is unknown")
}

// TestOverview has what those who watch are shown: a report that is too long is cut and
// named, a decision on a rollout that has changed is refused, and they are woken.
func TestOverview(t *testing.T) {
	h := host(t)
	long := h.member("село")
	client, err := center.Dial(h.login)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	woken := make(chan struct{}, 1)
	require.NoError(t, client.Changed(func() {
		select {
		case woken <- struct{}{}:
		default:
		}
	}))
	rep := rollout.Report{Site: "село", Seq: 1, Time: time.Now().UTC(), Never: strings.Repeat("Ж", 2000), Zone: strings.Repeat("z", 400)}
	for range 100 {
		rep.Committed = append(rep.Committed, old)
		rep.Quarantined = append(rep.Quarantined, rollout.Failure{Release: next, Code: "x"})
	}
	enroll(t, h.identity, "город")
	h.report(long, rep)
	var a center.Answer
	require.Eventually(t, func() bool {
		a, err = client.Ask(t.Context(), center.Command{Op: "overview"})
		return err == nil && len(a.Sites) == 2 && a.Sites[1].Heard != nil
	}, time.Minute, 10*time.Millisecond)
	select {
	case <-woken:
	case <-time.After(time.Minute):
		t.Fatal("those who watch are not woken")
	}
	got := a.Sites[1] // sorted
	assert.Contains(t, got.Fault, "and was cut")
	assert.LessOrEqual(t, len(got.Heard.Never), 300)
	assert.LessOrEqual(t, len(got.Heard.Zone), 300)
	assert.Len(t, got.Heard.Committed, 20)
	assert.Len(t, got.Heard.Quarantined, 10)
	assert.False(t, a.Health.Started.IsZero())
	assert.Positive(t, a.Health.Bytes)
	assert.Positive(t, a.Health.Free)

	started, err := client.Ask(t.Context(), center.Command{Op: "start", Plan: &rollout.Plan{ID: "r", Release: next, Canaries: []string{"город"}, Cap: 1}})
	require.NoError(t, err)
	generation := started.Rollouts[0].Generation
	_, err = client.Ask(t.Context(), center.Command{Op: "pause", Rollout: "r", Reason: "x", Generation: generation + 1})
	require.ErrorContains(t, err, "has changed meanwhile")
	_, err = client.Ask(t.Context(), center.Command{Op: "pause", Rollout: "r", Reason: "x", Generation: generation})
	require.NoError(t, err)
	seen := 1
	_, err = client.Ask(t.Context(), center.Command{Op: "resume", Rollout: "r", Reason: "x", Accepts: &seen})
	require.ErrorContains(t, err, "0 failures would be accepted, and 1 were shown")
	seen = 0
	_, err = client.Ask(t.Context(), center.Command{Op: "resume", Rollout: "r", Reason: "x", Accepts: &seen})
	require.NoError(t, err)
}

// TestLoginLeavesTheLog has a line that the coordinator has not written whole yet while
// another program of the center starts: it stays.
func TestLoginLeavesTheLog(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "center")
	require.NoError(t, center.Create(dir, "127.0.0.1"))
	log := filepath.Join(dir, "log.jsonl")
	require.NoError(t, os.WriteFile(log, []byte(`{"body":`), 0o600))
	_, err := center.Login(dir, "tls://127.0.0.1:1")
	require.NoError(t, err)
	b, err := os.ReadFile(log)
	require.NoError(t, err)
	assert.Equal(t, `{"body":`, string(b))
}

// TestTimesThatJSONCannotHave has a site report a time that can be read and not be written: the
// center goes on answering.
func TestTimesThatJSONCannotHave(t *testing.T) {
	h := host(t)
	m := h.member("село")
	b, err := rollout.Seal(m.key, "report", map[string]any{"site": "село", "seq": 1, "time": time.Now(), "slot": "2026-01-01T00:00:00+24:00", "until": "0000-01-01T00:00:00+23:60"})
	require.NoError(t, err)
	answer, err := m.conn.Request(link.ReportSubject(m.Site), b, time.Minute)
	require.NoError(t, err)
	require.Contains(t, string(answer.Data), `"seq"`)
	require.Eventually(t, func() bool {
		a, err := h.ask(center.Command{Op: "overview"})
		return err == nil && len(a.Sites) == 1 && a.Sites[0].Heard != nil
	}, time.Minute, 10*time.Millisecond)
}

// TestQuestionsWakeNoOne asks for overviews: those who watch ask for them when they are woken, and would
// do so for ever.
func TestQuestionsWakeNoOne(t *testing.T) {
	h := host(t)
	client, err := center.Dial(h.login)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	var woken atomic.Int64
	require.NoError(t, client.Changed(func() { woken.Add(1) }))
	for range 30 {
		_, err := client.Ask(t.Context(), center.Command{Op: "overview"})
		require.NoError(t, err)
	}
	require.Less(t, woken.Load(), int64(10))
	h.report(h.member("село"), rollout.Report{Site: "село", Seq: 1})
	require.Eventually(t, func() bool { return woken.Load() > 0 }, time.Minute, 10*time.Millisecond)
}

// TestLogAfterAnEntryThatWasNotWrittenWhole has what a full disk leaves in the log while the center runs.
func TestLogAfterAnEntryThatWasNotWrittenWhole(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "center")
	require.NoError(t, center.Create(dir, "127.0.0.1"))
	identity, err := center.Open(dir)
	require.NoError(t, err)
	_, err = identity.Ticket("город", "tls://127.0.0.1:1")
	require.NoError(t, err)
	f, err := os.OpenFile(filepath.Join(dir, "log.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"body":`)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = identity.Ticket("село", "tls://127.0.0.1:1")
	require.NoError(t, err)
	require.NoError(t, identity.Close())
	identity, err = center.Open(dir)
	require.NoError(t, err)
	require.NoError(t, identity.Revoke("село", "its ticket is in the log", ""))
	require.NoError(t, identity.Close())
}
