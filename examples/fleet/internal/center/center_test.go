package center_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/agent"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/version"
)

const role = "ASPUPDATE_FLEET_TEST_ROLE"

// TestMain is the server or the coordinator in the processes that tests kill.
func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		os.Exit(m.Run())
	}
	if err := play(os.Getenv(role), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// play is a process: a server at a port, a coordinator at an address.
func play(role, dir, at string) error {
	identity, err := center.Open(dir)
	if err != nil {
		return err
	}
	switch role {
	case "server":
		port, err := strconv.Atoi(at)
		if err != nil {
			return err
		}
		s, err := identity.Serve("127.0.0.1", port)
		if err != nil {
			return err
		}
		fmt.Println(s.URL())
	case "coordinator":
		fmt.Println("runs")
		go func() { _ = (&center.Coordinator{Identity: identity, URL: at}).Run(context.Background()) }()
	}
	_, err = io.Copy(io.Discard, os.Stdin) // until the test has ended
	return err
}

// A process is one that is killed.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	out string // its first line
}

func start(t *testing.T, as, dir, at string) *process {
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, dir, at)
	cmd.Env = append(os.Environ(), role+"="+as)
	cmd.Stderr = os.Stderr
	_, err = cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{t: t, cmd: cmd}
	t.Cleanup(p.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, as)
	p.out = strings.TrimSpace(line)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

var (
	old  = rollout.Release{Distribution: "asp", Version: version.MustParse("7.87.100"), SHA256: strings.Repeat("0", 64)}
	next = rollout.Release{Distribution: "asp", Version: version.MustParse("7.88.100"), SHA256: strings.Repeat("a", 64)}
)

// A crowd is many sites in one process, and what they did.
type crowd struct {
	running, peak, committed, twice atomic.Int64
	sites                           []*place
	stop                            func()
}

// A place is a simulated installation. What it has done survives its agent.
type place struct {
	crowd  *crowd
	id     string
	takes  time.Duration
	hold   chan struct{} // an update waits for it
	mu     sync.Mutex
	has    rollout.Release
	starts int
}

func (p *place) State(context.Context) (rollout.Report, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rep := rollout.Report{Committed: []rollout.Release{p.has}}
	if p.has != next {
		rep.Activity, rep.Slot, rep.Until = rollout.Asking, time.Now().UTC(), time.Now().Add(time.Hour).UTC()
	}
	return rep, nil
}

func (p *place) Update(_ context.Context, r rollout.Release) error {
	now := p.crowd.running.Add(1)
	for peak := p.crowd.peak.Load(); now > peak && !p.crowd.peak.CompareAndSwap(peak, now); peak = p.crowd.peak.Load() {
	}
	p.mu.Lock()
	if p.starts++; p.starts > 1 {
		p.crowd.twice.Add(1)
	}
	p.mu.Unlock()
	if p.hold != nil {
		<-p.hold
	}
	time.Sleep(p.takes)
	p.mu.Lock()
	p.has = r
	p.mu.Unlock()
	p.crowd.running.Add(-1)
	p.crowd.committed.Add(1)
	return nil
}

// region is a center with sites.
type region struct {
	*crowd
	t           *testing.T
	dir         string
	identity    *center.Identity
	server      *process
	coordinator *process
	port        string
	login       link.Login
	members     []link.Membership
}

func open(t *testing.T, sites int) *region {
	r := &region{t: t, dir: filepath.Join(t.TempDir(), "center"), crowd: &crowd{}}
	require.NoError(t, center.Create(r.dir, "127.0.0.1"))
	var err error
	r.identity, err = center.Open(r.dir)
	require.NoError(t, err)
	for i := range sites {
		p := &place{crowd: r.crowd, id: fmt.Sprintf("Село №%d", i), has: old, takes: 10 * time.Millisecond}
		r.sites = append(r.sites, p)
		r.members = append(r.members, enroll(t, r.identity, p.id))
	}
	require.NoError(t, r.identity.Close())      // the coordinator writes the log
	r.port = strconv.Itoa(realtest.FreePort(t)) // which is free again after a kill
	r.server = start(t, "server", r.dir, r.port)
	r.login, err = r.identity.Login("tls://127.0.0.1:" + r.port)
	require.NoError(t, err)
	r.coordinator = start(t, "coordinator", r.dir, r.login.URL)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range r.members {
		r.members[i].Login.URL = r.login.URL
		m := r.members[i]
		a := &agent.Agent{Membership: m, Site: r.sites[i], Dir: t.TempDir(), Interval: 20 * time.Second}
		all.Go(func() { assert.NoError(t, a.Run(ctx)) })
	}
	r.stop = func() { cancel(); all.Wait() }
	t.Cleanup(r.stop)
	return r
}

// enroll enrolls a site without a network.
func enroll(t *testing.T, identity *center.Identity, site string) link.Membership {
	ticket, err := identity.Ticket(site, "")
	require.NoError(t, err)
	holder, err := nkeys.FromSeed([]byte(ticket.Login.Seed))
	require.NoError(t, err)
	used, err := holder.PublicKey()
	require.NoError(t, err)
	key, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := key.PublicKey()
	require.NoError(t, err)
	seed, err := key.Seed()
	require.NoError(t, err)
	ticket.Login.JWT, err = identity.Enroll(site, used, public)
	require.NoError(t, err)
	ticket.Login.Seed, ticket.Ticket = string(seed), false
	return ticket
}

func (r *region) ask(c center.Command) center.Answer {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	a, err := center.Ask(ctx, r.login, c)
	require.NoError(r.t, err)
	return a
}

func (r *region) plan(limit, canaries int) *rollout.Plan {
	p := &rollout.Plan{ID: "май", Release: next, Cap: limit}
	for i, s := range r.sites {
		if i < canaries {
			p.Canaries = append(p.Canaries, s.id)
		}
		p.Sites = append(p.Sites, s.id)
	}
	return p
}

// hold keeps the updates of some sites from ending until release is called, or the test
// ends.
func (r *region) hold(from, to int) (release func()) {
	held := make(chan struct{})
	release = sync.OnceFunc(func() { close(held) })
	r.t.Cleanup(release)
	for _, s := range r.sites[from:to] {
		s.hold = held
	}
	return release
}

func (r *region) until(what string, ok func() bool) {
	r.t.Helper()
	require.Eventually(r.t, ok, 5*time.Minute, 5*time.Millisecond, what)
}

// TestKills has a region whose coordinator and server are killed again and again.
// No site starts twice, there are never more at a time than the cap permits, and
// all commit.
func TestKills(t *testing.T) {
	sites, coordinators, servers := 60, 2, 1
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		sites, coordinators, servers = 1000, 500, 50
	}
	const limit = 10
	r := open(t, sites)
	begun := time.Now()
	r.ask(center.Command{Op: "start", Plan: r.plan(limit, 5)})
	kills := coordinators + servers
	for k := range kills {
		r.until("progress", func() bool { return r.committed.Load() >= int64(sites*(k+1)/(kills+1)) })
		if k%(kills/servers) == kills/servers/2 {
			r.server.kill()
			r.server = start(t, "server", r.dir, r.port)
		} else {
			r.coordinator.kill()
			r.coordinator = start(t, "coordinator", r.dir, r.login.URL)
		}
	}
	r.until("all have committed", func() bool { return r.committed.Load() == int64(sites) })
	r.until("the rollout knows", func() bool {
		return r.ask(center.Command{Op: "status"}).Rollouts[0].Phase == rollout.Done
	})
	assert.Zero(t, r.twice.Load(), "sites that started twice")
	assert.LessOrEqual(t, r.peak.Load(), int64(limit))
	t.Logf("%d sites, %d coordinators and %d servers killed: %v, at most %d at a time", sites, coordinators, servers, time.Since(begun).Round(time.Millisecond), r.peak.Load())
}

// TestLostStore deletes the store in the middle of a rollout. The sites report
// what they have within a minute, with ASPUPDATE_SOAK=1 a thousand of them; no site
// installs again, and a person lets it go on.
func TestLostStore(t *testing.T) {
	sites, limit, before := 20, 4, 7 // in the first two waves
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		sites, limit, before = 1000, 25, 105
	}
	r := open(t, sites)
	release := r.hold(before, sites) // the third wave is in the middle of it
	r.ask(center.Command{Op: "start", Plan: r.plan(limit, 5)})
	r.until("some are updated", func() bool { return r.committed.Load() == int64(before) && r.running.Load() == int64(limit) })
	r.kill()
	require.NoError(t, os.RemoveAll(filepath.Join(r.dir, "store")))
	begun := time.Now()
	r.begin()

	require.Eventually(t, func() bool { // seldom: the answer is long
		return !slices.ContainsFunc(r.ask(center.Command{Op: "sites"}).Sites, func(s center.SiteState) bool { return s.Heard == nil })
	}, 5*time.Minute, 200*time.Millisecond, "the sites have reported")
	took := time.Since(begun).Round(time.Millisecond)
	again := r.ask(center.Command{Op: "status"}).Rollouts[0]
	assert.Less(t, took, time.Minute)
	assert.Equal(t, before, again.Counts()[rollout.Committed])
	assert.Equal(t, limit, again.Counts()[rollout.Started])
	assert.Equal(t, rollout.Paused, again.Phase)
	assert.Contains(t, again.Reason, "made again from the log of the center")
	r.ask(center.Command{Op: "resume", Rollout: "май", Reason: "all sites have reported"})
	release()
	r.until("all have committed", func() bool { return r.committed.Load() == int64(sites) })
	assert.Zero(t, r.twice.Load())
	assert.LessOrEqual(t, r.peak.Load(), int64(limit))
	t.Logf("made again from the reports of %d sites in %v", sites, took)
}

// TestForgeries has forged messages: a grant that another key has signed, a
// report in another's name. Nothing of it counts.
func TestForgeries(t *testing.T) {
	r := open(t, 1)
	site := r.sites[0]
	r.until("the site has reported", func() bool { return r.ask(center.Command{Op: "sites"}).Sites[0].Heard != nil })
	forger, err := nkeys.CreateUser()
	require.NoError(t, err)
	conn, err := r.login.Connect("forger")
	require.NoError(t, err)
	defer conn.Close()
	forge := func(subject, kind string, v any) {
		b, err := rollout.Seal(forger, kind, v)
		require.NoError(t, err)
		_, err = conn.Request(subject, b, time.Minute)
		require.NoError(t, err)
		require.NoError(t, conn.Publish(link.WakeSubject(site.id), nil))
	}
	now := time.Now().UTC()
	forge("$KV.desired."+link.Encode(site.id), "grant", rollout.Grant{Site: site.id, Rollout: "x", Generation: 1 << 62, Release: next, NotBefore: now, NotAfter: now.Add(10 * time.Minute)})
	forge(link.ReportSubject(site.id), "report", rollout.Report{Site: site.id, Seq: 1 << 62, Time: now, Committed: []rollout.Release{next}})
	// A grant of the center's own, after the forged one, is what the site follows.
	r.ask(center.Command{Op: "start", Plan: r.plan(1, 1)})
	r.until("the site has committed", func() bool {
		c := r.ask(center.Command{Op: "status"}).Rollouts[0]
		return c.Phase == rollout.Done
	})
	assert.EqualValues(t, 1, r.committed.Load())
	site.mu.Lock()
	defer site.mu.Unlock()
	assert.Equal(t, 1, site.starts, "the report of the forger would have made it done without a start")
}

// refused expects that a login is refused. The server may close the connection before its reason has arrived.
func refused(t *testing.T, l link.Login) {
	t.Helper()
	var conn *nats.Conn
	var err error
	require.Eventually(t, func() bool {
		conn, err = l.Connect("again", nats.RetryOnFailedConnect(false))
		return err == nil || errors.Is(err, nats.ErrAuthorization)
	}, time.Minute, 10*time.Millisecond)
	require.Nil(t, conn)
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

// TestAskedAgain has the answer to a person's request lost, and the coordinator with it: the
// same request again is answered, and nothing is done twice.
func TestAskedAgain(t *testing.T) {
	r := open(t, 2)
	release := r.hold(0, 2)
	twice := func(c center.Command) (a center.Answer) {
		t.Helper()
		c.ID = rand.Text()
		r.ask(c)
		a = r.ask(c)
		r.coordinator.kill()
		r.coordinator = start(t, "coordinator", r.dir, r.login.URL)
		again := r.ask(c)
		require.Len(t, again.Rollouts, len(a.Rollouts))
		for i := range a.Rollouts {
			require.Equal(t, a.Rollouts[i].Generation, again.Rollouts[i].Generation)
		}
		return again
	}
	pause := center.Command{ID: rand.Text(), Op: "pause", Rollout: "май", Reason: "the support is ill"}
	twice(center.Command{Op: "start", Plan: r.plan(1, 1)})
	r.until("one is updated", func() bool { return r.running.Load() == 1 })
	r.ask(pause)
	a := twice(center.Command{Op: "resume", Rollout: "май", Reason: "it is well"})
	assert.Equal(t, rollout.Running, a.Rollouts[0].Phase)
	assert.Equal(t, rollout.Running, r.ask(pause).Rollouts[0].Phase, "another decision has followed it")
	a = twice(center.Command{Op: "abort", Rollout: "май", Reason: "the vendor asked for it"})
	phases := 0
	for _, e := range a.Rollouts[0].Log {
		if strings.Contains(e.Text, "the support is ill") || strings.Contains(e.Text, "it is well") || strings.Contains(e.Text, "the vendor asked") {
			phases++
		}
	}
	assert.Equal(t, 3, phases, "%v", a.Rollouts[0].Log)
	twice(center.Command{Op: "revoke", Site: r.sites[1].id, Reason: "stolen"})
	_, err := center.Ask(t.Context(), r.login, center.Command{Op: "pause", Rollout: "май", Reason: "another request"})
	require.ErrorContains(t, err, "aborted")
	release()
}

// TestPause pauses a rollout: nothing starts after that, and what has begun ends.
func TestPause(t *testing.T) {
	r := open(t, 12)
	hold := make(chan struct{})
	for _, s := range r.sites {
		s.hold = hold
	}
	r.ask(center.Command{Op: "start", Plan: r.plan(3, 6)})
	r.until("three are updated", func() bool { return r.running.Load() == 3 })
	r.ask(center.Command{Op: "pause", Rollout: "май", Reason: "the support is ill"})
	close(hold)
	r.until("what has begun ends", func() bool {
		return r.ask(center.Command{Op: "status"}).Rollouts[0].Counts()[rollout.Committed] == 3
	})
	assert.EqualValues(t, 3, r.committed.Load())
	assert.Zero(t, r.running.Load())
	r.ask(center.Command{Op: "abort", Rollout: "май", Reason: "the vendor asked for it"})
	assert.EqualValues(t, 3, r.committed.Load())
}

// TestOneSitesKey uses the key of one site for what is not its own: nothing of
// it succeeds.
func TestOneSitesKey(t *testing.T) {
	h := host(t)
	ctx, identity, url, ask := t.Context(), h.identity, h.url, h.ask

	// A ticket is used once, and by the same key again where the answer was lost.
	a, err := ask(center.Command{Op: "ticket", Site: "село", URL: url})
	require.NoError(t, err)
	key, err := nkeys.CreateUser()
	require.NoError(t, err)
	mine, err := center.Join(ctx, *a.Ticket, key)
	require.NoError(t, err)
	again, err := center.Join(ctx, *a.Ticket, key)
	require.NoError(t, err)
	assert.Equal(t, mine.Login.Seed, again.Login.Seed)
	clone, err := nkeys.CreateUser()
	require.NoError(t, err)
	_, err = center.Join(ctx, *a.Ticket, clone)
	require.ErrorContains(t, err, "the ticket was used by another machine")
	enroll(t, identity, "город")
	b, err := ask(center.Command{Op: "ticket", Site: "посёлок", URL: url})
	require.NoError(t, err)
	_, err = center.Join(ctx, *b.Ticket, key)
	require.ErrorContains(t, err, "the key is that of another site")

	cut := make(chan struct{}, 1)
	conn, err := mine.Login.Connect("hostile", nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { cut <- struct{}{} }))
	require.NoError(t, err)
	defer conn.Close()
	own, err := conn.Request(link.GrantSubject("село"), nil, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, "404", own.Header.Get("Status"), "its own grant can be read, and there is none")
	for _, subject := range []string{
		link.GrantSubject("город"), link.ReportSubject("город"), link.WakeSubject("город"), link.Control, "$KV.desired." + link.Encode("село"),
		"$KV.rollouts.x", "$JS.API.INFO", "$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.DELETE.REPORTS", "$JS.API.STREAM.PURGE.REPORTS",
		"$JS.API.DIRECT.GET.KV_desired.$KV.desired." + link.Encode("село"), "report." + link.Encode("село"),
		"$JS.API.STREAM.INFO.REPORTS", "$JS.API.STREAM.MSG.GET.REPORTS", "$JS.API.DIRECT.GET.REPORTS", "$JS.API.DIRECT.GET.KV_desired",
		"$JS.API.DIRECT.GET.KV_rollouts.$KV.rollouts." + link.Encode("x"), "$JS.API.CONSUMER.CREATE.REPORTS", "$JS.API.CONSUMER.LIST.REPORTS",
		"$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.UPDATE.REPORTS", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING.CONNZ", "enroll.x.y",
		link.EnrollSubject("город", "x"), "report.>", "wake.all", "$JS.ACK.x", "$JS.FC.x", "x",
	} {
		_, err := conn.Request(subject, []byte("{}"), 30*time.Millisecond)
		assert.Error(t, err, subject)
	}
	sub, err := conn.SubscribeSync(">")
	require.NoError(t, err)
	_, err = sub.NextMsg(30 * time.Millisecond)
	assert.Error(t, err)

	// Revoked: the live connection is cut, and there is no other.
	_, err = ask(center.Command{Op: "revoke", Site: "село", Reason: "stolen"})
	require.NoError(t, err)
	select {
	case <-cut:
	case <-time.After(time.Minute):
		t.Fatal("the connection is not cut")
	}
	refused(t, mine.Login)
	_, err = ask(center.Command{Op: "revoke", Site: "село", Reason: "stolen"})
	require.ErrorContains(t, err, "is not enrolled")
}
