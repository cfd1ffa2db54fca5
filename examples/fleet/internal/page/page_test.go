package page

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

var (
	old  = rollout.Release{Distribution: "asp", Version: version.MustParse("7.87.100"), SHA256: strings.Repeat("0", 64)}
	next = rollout.Release{Distribution: "asp", Version: version.MustParse("7.88.100"), SHA256: strings.Repeat("a", 64)}
)

// A fleet is a center without a network, with a real rollout.
type fleet struct {
	t       testing.TB
	mu      sync.Mutex
	r       *rollout.Rollout
	sites   []center.SiteState
	decided []center.Command
	down    bool
	wake    func()
}

// newFleet has sites "Село №1", ..., of which the first two are canaries.
func newFleet(t testing.TB, n int, more ...string) *fleet {
	g := &fleet{t: t, wake: func() {}}
	now := time.Now()
	p := rollout.Plan{ID: "май", Release: next, Cap: 25}
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("Село №%d", i+1))
	}
	for i, name := range append(names, more...) {
		if i < 2 {
			p.Canaries = append(p.Canaries, name)
		}
		p.Sites = append(p.Sites, name)
		h := &rollout.Heard{At: now, On: now, Report: rollout.Report{Site: name, Seq: 1, Time: now, Activity: rollout.Asking, Committed: []rollout.Release{old}, Zone: "MSK+4",
			Slot: now.Add(time.Duration(i%3+1) * time.Hour), Until: now.Add(5 * time.Hour)}}
		g.sites = append(g.sites, center.SiteState{ID: name, Heard: h})
	}
	var err error
	g.r, err = rollout.Start(p, 1, now, g.known)
	require.NoError(t, err)
	g.r.Advance(now, g.known)
	return g
}

func (g *fleet) known(id string) (rollout.Heard, bool) {
	for _, s := range g.sites {
		if s.ID == id && s.Heard != nil {
			return *s.Heard, true
		}
	}
	return rollout.Heard{}, false
}

// report changes what a site says, and wakes the page.
func (g *fleet) report(id string, change func(*rollout.Heard)) {
	g.mu.Lock()
	for i, s := range g.sites {
		if s.ID == id {
			h := *s.Heard
			h.Seq++
			change(&h)
			g.sites[i].Heard = &h
			g.r.Observe(h)
		}
	}
	g.r.Advance(time.Now(), g.known)
	g.mu.Unlock()
	g.wake()
}

func (g *fleet) ask(_ context.Context, c center.Command) (a center.Answer, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down {
		return a, fmt.Errorf("the coordinator does not answer: nats: no responders")
	}
	switch c.Op {
	case "pause", "resume", "abort":
		if c.Generation != g.r.Generation {
			return a, fmt.Errorf("%w: rollout %s has changed meanwhile: it is %s", rollout.ErrPhase, c.Rollout, g.r.Phase)
		}
		do := map[string]func(time.Time, string) error{"pause": g.r.Pause, "resume": g.r.Resume, "abort": g.r.Abort}
		if err := do[c.Op](time.Now(), c.Reason); err != nil {
			return a, err
		}
		g.decided = append(g.decided, c)
	case "status":
		if c.Rollout != g.r.Plan.ID {
			return a, fmt.Errorf("rollout %q not found", c.Rollout)
		}
	}
	whole := center.Answer{Rollouts: []*rollout.Rollout{g.r}, Sites: g.sites, Health: &center.Health{Started: time.Now().Add(-time.Hour), Bytes: 5 << 20, Free: 50 << 30}}
	b, err := json.Marshal(whole) // as over the network: the page has its own
	require.NoError(g.t, err)
	require.NoError(g.t, json.Unmarshal(b, &a))
	return a, nil
}

// open serves the page of a fleet, and returns its address with the key.
func (g *fleet) open(change ...func(*Page)) string {
	p := &Page{Ask: g.ask, Key: NewKey(), Zone: schedule.MSK(0)}
	for _, f := range change {
		f(p)
	}
	g.wake = p.Wake
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(g.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, l) }()
	g.t.Cleanup(func() { cancel(); assert.NoError(g.t, <-ended) })
	return p.Address(l.Addr())
}

// A reply is an answer without its body.
type reply struct {
	StatusCode int
	Header     http.Header
	Cookies    []*http.Cookie
}

// get returns an answer and its body.
func get(t *testing.T, method, address, body string, headers ...string) (reply, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(r)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	b, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return reply{answer.StatusCode, answer.Header, answer.Cookies()}, string(b)
}

func decided(op, reason string, generation uint64) string {
	return url.Values{"accepts": {"0"}, "op": {op}, "rollout": {"май"}, "reason": {reason}, "generation": {fmt.Sprint(generation)}}.Encode()
}

// serveTest serves a page that asks the center when the test does.
func serveTest(t *testing.T, p *Page) string {
	s := httptest.NewServer(p.Handler())
	t.Cleanup(s.Close)
	return s.URL
}

// decisions returns what people have decided.
func (g *fleet) decisions() []center.Command {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.decided)
}

// A reader who leaves while the center is asked is no reason to say that it does not answer.
func TestAReaderWhoLeaves(t *testing.T) {
	p := &Page{Ask: func(ctx context.Context, _ center.Command) (center.Answer, error) {
		<-ctx.Done()
		return center.Answer{}, ctx.Err()
	}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.read(ctx, 0)
	require.Empty(t, p.watch.last().wrong)
}
