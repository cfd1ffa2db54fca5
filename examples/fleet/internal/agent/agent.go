// Package agent connects one site with the center. It has an outbound
// connection only, and decides nothing: the site's own journal, quarantine,
// window and verifier do.
//
// The order of a start is what the cap and the stop rules depend on: read the
// grant, check it, report the start, have that report confirmed by the store,
// check the grant again, start. What has begun ends without the center.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// A Site is an installation.
type Site interface {
	// State returns what the site's own journal says. The agent sets Site, Seq,
	// Time and Seen.
	State(ctx context.Context) (rollout.Report, error)
	// Update installs a release and returns when its outcome is in the journal, or
	// when the site refused to start. It is not interrupted by the center.
	Update(ctx context.Context, r rollout.Release) error
}

// An Agent connects one site.
type Agent struct {
	Membership link.Membership
	Site       Site
	Dir        string           // keeps the last number of a report and the highest generation
	Interval   time.Duration    // of reports while nothing changes; 0 means two minutes
	Log        func(string)     // may be nil
	Now        func() time.Time // nil means the clock

	key    nkeys.KeyPair
	conn   *nats.Conn
	js     jetstream.JetStream
	kept   kept
	last   rollout.Report
	intent *rollout.Grant                     // a start whose report was not confirmed yet
	ended  chan error                         // of the update in progress, nil without one
	asked  atomic.Pointer[context.CancelFunc] // ends the request in progress
}

// kept is what the agent keeps on the disk.
type kept struct {
	Seq  uint64 `json:"seq"`
	Seen uint64 `json:"seen"`
}

const (
	timeout    = 5 * time.Second // of one request
	firstRetry = 200 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// Run reports and updates until ctx is done. It then still waits for the update
// in progress.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.open(); err != nil {
		return err
	}
	poke := make(chan struct{}, 1)
	wake := func() {
		select {
		case poke <- struct{}{}:
		default:
		}
	}
	var err error
	a.conn, err = a.Membership.Login.Connect("site "+a.Membership.Site,
		nats.ConnectHandler(func(*nats.Conn) { wake() }), nats.ReconnectHandler(func(*nats.Conn) { wake() }),
		// What was asked before a cut is not answered after it: it is asked again.
		nats.DisconnectErrHandler(func(*nats.Conn, error) {
			if cancel := a.asked.Load(); cancel != nil {
				(*cancel)()
			}
		}))
	if err != nil {
		return fmt.Errorf("connect to the center: %w", err)
	}
	defer a.conn.Close()
	if a.js, err = jetstream.New(a.conn); err != nil {
		return err
	}
	if _, err = a.conn.Subscribe(link.WakeSubject(a.Membership.Site), func(*nats.Msg) { wake() }); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	interval := a.Interval
	if interval == 0 {
		interval = 2 * time.Minute
	}
	for retry := firstRetry; ; {
		wait := interval
		switch err := a.step(ctx); {
		case err == nil:
			retry = firstRetry
		case ctx.Err() == nil:
			a.say("report: %v", err)
			wait = min(interval, retry)
			retry = min(2*retry, lastRetry)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			if a.ended != nil {
				return <-a.ended
			}
			return nil
		case err := <-a.ended:
			a.ended = nil
			if err != nil {
				a.say("update: %v", err)
			}
		case <-poke:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (a *Agent) say(format string, args ...any) {
	if a.Log != nil {
		a.Log(fmt.Sprintf(format, args...))
	}
}

func (a *Agent) now() time.Time {
	if a.Now != nil {
		return a.Now()
	}
	return time.Now()
}

func (a *Agent) file() string { return filepath.Join(a.Dir, "fleet.json") }

func (a *Agent) open() (err error) {
	if a.key, err = nkeys.FromSeed([]byte(a.Membership.Login.Seed)); err != nil {
		return fmt.Errorf("the key of the site: %w", err)
	}
	b, err := os.ReadFile(a.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &a.kept)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a.file(), err)
	}
	return nil
}

func (a *Agent) keep() error {
	b, err := json.Marshal(a.kept)
	if err != nil {
		return err
	}
	return durable.WriteFile(a.file(), b, 0o600)
}

// step reports the state of the site, and starts what a grant permits.
func (a *Agent) step(ctx context.Context) error {
	if a.ended != nil { // the journal is in use
		rep := a.last
		return a.report(ctx, &rep)
	}
	rep, err := a.Site.State(ctx)
	if err != nil {
		return err
	}
	if a.intent != nil && rep.Activity == rollout.Asking && a.intent.Check(a.Membership.Site, a.now(), a.kept.Seen) == nil {
		return a.start(ctx, *a.intent, rep)
	}
	a.intent = nil
	if err := a.report(ctx, &rep); err != nil || rep.Activity != rollout.Asking {
		return err
	}
	g, err := a.grant(ctx)
	if err != nil || g == nil {
		return err
	}
	if err := g.Check(a.Membership.Site, a.now(), a.kept.Seen); err != nil {
		return nil //nolint:nilerr // there is nothing to do until the next one
	}
	return a.start(ctx, *g, rep)
}

// start reports a start and, once that is confirmed, starts.
func (a *Agent) start(ctx context.Context, g rollout.Grant, rep rollout.Report) error {
	a.intent = &g
	rep.Activity, rep.Release, rep.Rollout = rollout.Updating, g.Release, g.Rollout
	if err := a.report(ctx, &rep); err != nil {
		return err
	}
	if a.intent = nil; g.Check(a.Membership.Site, a.now(), a.kept.Seen) != nil {
		return errors.New("the confirmation came after the grant has ended")
	}
	a.last, a.ended = rep, make(chan error, 1)
	a.say("start %s", g.Release)
	go func(ended chan<- error) { ended <- a.Site.Update(context.WithoutCancel(ctx), g.Release) }(a.ended)
	return nil
}

// request returns the context of one request. It ends with the connection.
func (a *Agent) request(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	a.asked.Store(&cancel)
	return ctx, cancel
}

// report sends a report and returns once the store has it.
func (a *Agent) report(ctx context.Context, rep *rollout.Report) error {
	now := a.now()
	a.kept.Seq = max(a.kept.Seq+1, uint64(now.UnixMicro()))
	if err := a.keep(); err != nil {
		return err
	}
	rep.Site, rep.Seq, rep.Time, rep.Seen = a.Membership.Site, a.kept.Seq, now.UTC(), a.kept.Seen
	b, err := rollout.Seal(a.key, "report", rep)
	if err != nil {
		return err
	}
	ctx, cancel := a.request(ctx)
	defer cancel()
	_, err = a.js.Publish(ctx, link.ReportSubject(a.Membership.Site), b, jetstream.WithRetryAttempts(0))
	return err
}

// grant reads the grant for the site, nil if there is none.
func (a *Agent) grant(ctx context.Context) (*rollout.Grant, error) {
	ctx, cancel := a.request(ctx)
	defer cancel()
	m, err := a.conn.RequestWithContext(ctx, link.GrantSubject(a.Membership.Site), nil)
	if err != nil {
		return nil, fmt.Errorf("read the grant: %w", err)
	}
	if status := m.Header.Get("Status"); status == "404" {
		return nil, nil //nolint:nilnil // there is none
	} else if status != "" {
		return nil, fmt.Errorf("read the grant: %s %s", status, m.Header.Get("Description"))
	}
	var g rollout.Grant
	if err := rollout.Unseal(a.Membership.Center, "grant", m.Data, &g); err != nil {
		return nil, err
	}
	if g.Site == a.Membership.Site && g.Generation > a.kept.Seen {
		a.kept.Seen = g.Generation
		return &g, a.keep()
	}
	return &g, nil
}
