// Command fleet updates many sites from one center, in waves, over an embedded
// NATS server. The center permits, and never commands: each site's own journal,
// quarantine, window and pins decide what runs there.
//
// It is a first part. It does not do yet: installers from the center (each
// site fetches from the vendor's server itself), a cluster of three, and Russian
// on the command line (the page and the reports have it).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/agent"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/center"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/installation"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/link"
	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/examples/internal/demo"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/internal/safetext"
	"github.com/aspupdate/aspupdate/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := app().Run(ctx, os.Args)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "fleet:", safetext.Indented(err.Error(), "  "))
		os.Exit(1)
	}
}

const patience = time.Minute // for an answer of the coordinator

func app() *cli.Command {
	dir := &cli.StringFlag{Name: "dir", Value: "/var/lib/aspupdate-fleet", Usage: "the center's `DIRECTORY`: keys, log, store"}
	url := &cli.StringFlag{Name: "url", Value: "tls://127.0.0.1:4222", Usage: "the center's `URL`"}
	reason := &cli.StringFlag{Name: "reason", Required: true, Usage: "the `REASON`; recorded"}
	out := &cli.StringFlag{Name: "out", Required: true, Usage: "the `FILE` to write; it is a secret"}
	id := &cli.StringFlag{Name: "id", Required: true, Usage: "the `ID` of the rollout"}
	plan := []cli.Flag{
		dir, url, id,
		&cli.StringFlag{Name: "distribution", Required: true, Usage: "`NAME` of the distribution"},
		&cli.StringFlag{Name: "version", Required: true, Usage: "`VERSION` of the release"},
		&cli.StringFlag{Name: "sha256", Required: true, Usage: "`HASH` of its Setup"},
		&cli.StringSliceFlag{Name: "canary", Required: true, Usage: "`SITE` of the first wave; repeat it for each"},
		&cli.IntFlag{Name: "cap", Required: true, Usage: "at most `N` sites are updated at a time: as many as the support can help"},
	}
	decision := func(op, usage string) *cli.Command {
		return &cli.Command{Name: op, Usage: usage, Flags: []cli.Flag{dir, url, id, reason}, Action: func(ctx context.Context, c *cli.Command) error {
			_, err := ask(ctx, c, center.Command{Op: op, Rollout: c.String("id"), Reason: c.String("reason")})
			return err
		}}
	}
	return &cli.Command{
		Name: "fleet", Usage: "update many sites from one center", HideVersion: true,
		Commands: []*cli.Command{
			{Name: "init", Usage: "make the keys of a new center", DisableSliceFlagSeparator: true, Flags: []cli.Flag{dir,
				&cli.StringSliceFlag{Name: "host", Required: true, Usage: "`NAME` or address under which sites reach the center; repeat it for each"}},
				Action: func(_ context.Context, c *cli.Command) error {
					return center.Create(c.String("dir"), c.StringSlice("host")...)
				}},
			{Name: "backup", Usage: "copy the keys and the log of the center, also while it runs", Flags: []cli.Flag{dir,
				&cli.StringFlag{Name: "out", Required: true, Usage: "the new `DIRECTORY`; it is a secret"}}, Action: backUp},
			{Name: "restore", Usage: "make the center again from a backup", DisableSliceFlagSeparator: true, Flags: []cli.Flag{dir,
				&cli.StringFlag{Name: "from", Required: true, Usage: "the `DIRECTORY` of the backup"},
				&cli.StringSliceFlag{Name: "revoked", Usage: "`SITE` that was revoked after the backup; repeat it for each"},
				&cli.BoolFlag{Name: "none-revoked", Usage: "no site was revoked after the backup"}}, Action: restore},
			{Name: "coordinator", Usage: "run the center", Flags: []cli.Flag{dir,
				&cli.StringFlag{Name: "host", Usage: "`ADDRESS` to listen at; all by default"},
				&cli.IntFlag{Name: "port", Value: 4222, Usage: "`PORT` to listen at"}}, Action: coordinate},
			{Name: "enroll", Usage: "make the ticket with which a site enrolls once, within a day", ArgsUsage: "SITE", Flags: []cli.Flag{dir, url, out,
				&cli.StringFlag{Name: "site-url", Usage: "the center's `URL` for the site, if it is another one"}}, Action: enroll},
			{Name: "join", Usage: "enroll this site with its ticket", Flags: []cli.Flag{out,
				&cli.StringFlag{Name: "ticket", Required: true, Usage: "the `FILE` of the ticket"}}, Action: join},
			{Name: "agent", Usage: "report and update this site", Flags: []cli.Flag{
				&cli.StringFlag{Name: "config", Required: true, Usage: "the configuration of aspupdate, a `FILE`"},
				&cli.StringFlag{Name: "membership", Required: true, Usage: "the `FILE` that join has written"}}, Action: runAgent},
			{Name: "revoke", Usage: "remove a site from the fleet", ArgsUsage: "SITE", Flags: []cli.Flag{dir, url, reason},
				Action: func(ctx context.Context, c *cli.Command) error {
					_, err := ask(ctx, c, center.Command{Op: "revoke", Site: c.Args().First(), Reason: c.String("reason")})
					return err
				}},
			{Name: "sites", Usage: "list the sites", Flags: []cli.Flag{dir, url}, Action: sites},
			{Name: "rollout", Usage: "decide on rollouts", Commands: []*cli.Command{
				{Name: "plan", Usage: "show a rollout without starting it", DisableSliceFlagSeparator: true, Flags: plan, Action: planned},
				{Name: "start", Usage: "start a rollout; it replaces those of other releases of the distribution", DisableSliceFlagSeparator: true, Flags: plan, Action: started},
				decision("pause", "let no more sites start"),
				decision("resume", "let sites start again; failures so far are accepted"),
				decision("abort", "end a rollout for good"),
				{Name: "status", Usage: "show the rollouts", Flags: []cli.Flag{dir, url, &cli.StringFlag{Name: "id", Usage: "of this `ID` only"},
					&cli.BoolFlag{Name: "json", Usage: "as JSON"}}, Action: status},
				{Name: "report", Usage: "write a rollout with all its sites to files", Flags: []cli.Flag{dir, url, id, language(), zone(),
					&cli.StringFlag{Name: "html", Usage: "the `FILE` for people"},
					&cli.StringFlag{Name: "csv", Usage: "the `FILE` for spreadsheets"}}, Action: report},
			}},
			{Name: "page", Usage: "serve the page, metrics and health of the center, on this machine alone", Flags: []cli.Flag{dir, url, language(), zone(),
				&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8470", Usage: "`ADDRESS` to listen at, on loopback; port 0 takes a free one"}}, Action: serve},
			{Name: "demo", Usage: "show a good and a bad release at real sites on this machine", Flags: []cli.Flag{
				&cli.IntFlag{Name: "sites", Value: 12, Usage: "how many `SITES`"}},
				Action: func(ctx context.Context, c *cli.Command) error {
					return play(ctx, c.Root().Writer, c.Int("sites"))
				}, Commands: demo.Commands()},
		},
	}
}

func coordinate(ctx context.Context, c *cli.Command) error {
	identity, err := center.Open(c.String("dir"))
	if err != nil {
		return err
	}
	defer func() { _ = identity.Close() }()
	server, err := identity.Serve(c.String("host"), c.Int("port"))
	if err != nil {
		return err
	}
	defer server.Close()
	say := func(text string) { _, _ = fmt.Fprintln(c.Root().Writer, safetext.Line(text)) }
	say("listening at port " + strconv.Itoa(server.Port()))
	coordinator := center.Coordinator{Identity: identity, URL: "tls://" + identity.Host() + ":" + strconv.Itoa(server.Port()), Revoked: server.Update, Log: say}
	return coordinator.Run(ctx)
}

// ask sends a command to the coordinator with the center's own key.
func ask(ctx context.Context, c *cli.Command, command center.Command) (center.Answer, error) {
	login, err := center.Login(c.String("dir"), c.String("url"))
	if err != nil {
		return center.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return center.Ask(ctx, login, command)
}

func enroll(ctx context.Context, c *cli.Command) error {
	at := c.String("site-url")
	if at == "" {
		at = c.String("url")
	}
	a, err := ask(ctx, c, center.Command{Op: "ticket", Site: c.Args().First(), URL: at})
	if err != nil {
		return err
	}
	return a.Ticket.Save(c.String("out"))
}

// join keeps the new key beside the membership until it is a member: if the
// answer is lost, the same key is sent again.
func join(ctx context.Context, c *cli.Command) error {
	ticket, err := link.Load(c.String("ticket"))
	if err != nil {
		return err
	}
	if dir := filepath.Dir(c.String("out")); dir != "." {
		if err := private.Mkdir(dir); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	path := c.String("out") + ".key"
	seed, err := os.ReadFile(path)
	if err == nil {
		err = private.CheckSecret(path)
	} else if errors.Is(err, os.ErrNotExist) {
		var key nkeys.KeyPair
		if key, err = nkeys.CreateUser(); err != nil {
			return err
		}
		if seed, err = key.Seed(); err == nil {
			err = durable.WriteFile(path, seed, 0o600)
		}
		if err == nil { // on Windows the directory decides who can read it
			if err = private.CheckSecret(path); err != nil {
				err = errors.Join(err, durable.Remove(path))
			}
		}
	}
	if err != nil {
		return err
	}
	key, err := nkeys.FromSeed(seed)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	m, err := center.Join(ctx, ticket, key)
	if err != nil {
		return err
	}
	if err := m.Save(c.String("out")); err != nil {
		return err
	}
	return durable.Remove(path)
}

func runAgent(ctx context.Context, c *cli.Command) error {
	m, err := link.Load(c.String("membership"))
	if err != nil {
		return err
	}
	say := func(text string) {
		_, _ = fmt.Fprintln(c.Root().Writer, time.Now().Format(time.TimeOnly), safetext.Line(text))
	}
	i := &installation.Installation{Config: c.String("config"), Log: say}
	if err := i.Recover(ctx); err != nil { // the center learns of it
		say("recover: " + err.Error())
	}
	return (&agent.Agent{Membership: m, Site: i, Dir: filepath.Dir(c.String("membership")), Log: say}).Run(ctx)
}

// read returns the plan of the flags: all enrolled sites.
func read(ctx context.Context, c *cli.Command) (p rollout.Plan, known map[string]rollout.Heard, err error) {
	v, err := version.Parse(c.String("version"))
	if err != nil {
		return p, nil, err
	}
	a, err := ask(ctx, c, center.Command{Op: "sites"})
	if err != nil {
		return p, nil, err
	}
	p = rollout.Plan{
		ID: c.String("id"), Canaries: c.StringSlice("canary"), Cap: c.Int("cap"),
		Release: rollout.Release{Distribution: c.String("distribution"), Version: v, SHA256: strings.ToLower(c.String("sha256"))},
	}
	known = map[string]rollout.Heard{}
	for _, s := range a.Sites {
		p.Sites = append(p.Sites, s.ID)
		if s.Heard != nil {
			known[s.ID] = *s.Heard
		}
	}
	return p, known, nil
}

func planned(ctx context.Context, c *cli.Command) error {
	p, known, err := read(ctx, c)
	if err != nil {
		return err
	}
	for _, id := range p.Canaries {
		if !slices.Contains(p.Sites, id) {
			return fmt.Errorf("%w: site %q is not enrolled", rollout.ErrPlan, id)
		}
	}
	r, err := rollout.Start(p, 1, time.Now(), func(id string) (rollout.Heard, bool) { h, ok := known[id]; return h, ok })
	if err != nil {
		return err
	}
	w := c.Root().Writer
	show(w, r)
	printf(w, "A release that fails at 30 %% of the sites, regardless of which, succeeds at all %d canaries with a probability of %.1f %%.\n",
		len(p.Canaries), 100*rollout.Missed(len(p.Canaries), 0.3))
	for _, m := range r.Members {
		switch h, ok := known[m.ID]; {
		case !ok:
			printf(w, "%s: it has never reported\n", safetext.Line(m.ID))
		case h.Never != "":
			printf(w, "%s: it can never start: %s\n", safetext.Line(m.ID), safetext.Line(h.Never))
		case h.Skew().Abs() > rollout.MaxSkew:
			printf(w, "%s: its clock differs by %v, and it will not start\n", safetext.Line(m.ID), h.Skew().Round(time.Second))
		}
	}
	return nil
}

func started(ctx context.Context, c *cli.Command) error {
	p, _, err := read(ctx, c)
	if err != nil {
		return err
	}
	a, err := ask(ctx, c, center.Command{Op: "start", Plan: &p})
	if err != nil {
		return err
	}
	show(c.Root().Writer, a.Rollouts[0])
	return nil
}

func status(ctx context.Context, c *cli.Command) error {
	a, err := ask(ctx, c, center.Command{Op: "status", Rollout: c.String("id")})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(c.Root().Writer).Encode(a.Rollouts)
	}
	for _, r := range a.Rollouts {
		show(c.Root().Writer, r)
	}
	return nil
}

func sites(ctx context.Context, c *cli.Command) error {
	a, err := ask(ctx, c, center.Command{Op: "sites"})
	for _, s := range a.Sites {
		what := "it has never reported"
		if s.Heard != nil {
			what = fmt.Sprintf("%s, reported at %s", describe(s.Heard.Report), s.Heard.At.UTC().Format(time.RFC3339))
		}
		if s.Fault != "" {
			what += "; " + s.Fault
		}
		printf(c.Root().Writer, "%s: %s\n", safetext.Line(s.ID), safetext.Line(what))
	}
	return err
}

func describe(r rollout.Report) string {
	what := []string{"ready to start"}
	switch r.Activity {
	case rollout.Idle:
		what[0] = "idle"
	case rollout.Updating:
		what[0] = "is updated to " + r.Release.String()
	case rollout.Decision:
		what[0] = "a person must decide"
	}
	for _, c := range r.Committed {
		what = append(what, c.String())
	}
	return strings.Join(what, ", ")
}

// show prints a rollout: what a person must see first comes first.
func show(w io.Writer, r *rollout.Rollout) {
	printf(w, "%s: %s, %s", safetext.Line(r.Plan.ID), safetext.Line(r.Plan.Release.String()), r.Phase)
	if r.Reason != "" {
		printf(w, ": %s", safetext.Line(r.Reason))
	}
	printf(w, "\n")
	for wave, name := range []string{"canaries", "ten percent", "the rest"} {
		counts, n := map[rollout.State]int{}, 0
		for _, m := range r.Members {
			if m.Wave == wave {
				counts[m.State]++
				n++
			}
		}
		printf(w, "  wave %d, %s: %d sites", wave+1, name, n)
		for _, s := range []rollout.State{rollout.Operator, rollout.RolledBack, rollout.Started, rollout.Granted, rollout.Committed, rollout.Waiting} {
			if counts[s] > 0 {
				printf(w, ", %d %s", counts[s], s)
			}
		}
		printf(w, "\n")
	}
	for _, m := range r.Members {
		if m.State == rollout.Operator || m.State == rollout.RolledBack || m.Silent {
			printf(w, "  %s: %s\n", safetext.Line(m.ID), m.State)
		}
	}
}

func printf(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
