package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/fleet/internal/rollout"
	"github.com/aspupdate/aspupdate/examples/internal/demo"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// A region is a running demo: a center and real sites, each a process of its own.
type region struct {
	out    io.Writer
	root   string
	self   string
	names  []string
	stage  *demo.Stage
	url    string
	page   string // its address
	center *exec.Cmd
	all    []*exec.Cmd
}

// play shows a good release, during which the center is killed, a bad one that
// stops at the canary, and its re-release.
func play(ctx context.Context, out io.Writer, sites int) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Minute) // it only ends one that hangs
	defer cancel()
	s := &region{out: out}
	for i := range sites {
		s.names = append(s.names, fmt.Sprintf("Село №%d", i+1))
	}
	if s.root, err = os.MkdirTemp("", "fleet-demo-"); err != nil {
		return err
	}
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	if err := s.begin(ctx); err != nil {
		return err
	}
	printf(out, "\n== A good release; the center is killed in the middle ==\n")
	if err := s.release(ctx, "7.13.100", "7.13.100", false); err != nil {
		return err
	}
	if err := s.until(ctx, "7.13.100", func(r *rollout.Rollout) bool { return r.Touched() > 0 }); err != nil {
		return err
	}
	_ = s.center.Process.Kill()
	_ = s.center.Wait()
	printf(out, "   the center is killed and started again\n")
	if err := s.startCenter(ctx, s.url[strings.LastIndex(s.url, ":")+1:]); err != nil {
		return err
	}
	if err := s.until(ctx, "7.13.100", func(r *rollout.Rollout) bool { return r.Phase == rollout.Done }); err != nil {
		return err
	}
	if err := s.verify(ctx, "7.13.100"); err != nil {
		return err
	}
	printf(out, "\n== A bad release, whose installer reports success ==\n")
	if err := s.release(ctx, "7.13.200", "7.13.200", true); err != nil {
		return err
	}
	if err := s.until(ctx, "7.13.200", func(r *rollout.Rollout) bool { return r.Phase == rollout.Stopped }); err != nil {
		return err
	}
	if err := s.verify(ctx, "7.13.100"); err != nil {
		return err
	}
	if err := s.onPage(ctx, "7.13.200", string(rollout.Stopped), s.names[0], fmt.Sprintf("canary %q was rolled back", s.names[0])); err != nil {
		return err
	}
	printf(out, "\n== The vendor releases it again, repaired: another hash, another release ==\n")
	if err := s.release(ctx, "7.13.200 again", "7.13.200", false); err != nil {
		return err
	}
	if err := s.until(ctx, "7.13.200", func(r *rollout.Rollout) bool { return r.Phase == rollout.Superseded && r.Touched() == 1 }); err != nil {
		return err
	}
	if err := s.until(ctx, "7.13.200 again", func(r *rollout.Rollout) bool { return r.Phase == rollout.Done }); err != nil {
		return err
	}
	if err := s.report(ctx, "7.13.200 again"); err != nil {
		return err
	}
	return s.verify(ctx, "7.13.200")
}

func (s *region) dir() string { return filepath.Join(s.root, "center") }

// begin starts the center, the vendor, three sites and their agents.
func (s *region) begin(ctx context.Context) (err error) {
	printf(s.out, "The scene: a center, the vendor's FTP server and %d sites with an application and a database each, below %s.\n", len(s.names), s.root)
	if s.stage, err = demo.OpenStage(s.root, s.self); err != nil {
		return err
	}
	if _, err := s.fleet(ctx, "init", "--dir", s.dir(), "--host", "127.0.0.1"); err != nil {
		return err
	}
	if err := s.startCenter(ctx, "-1"); err != nil {
		return err
	}
	if err := s.openPage(ctx); err != nil {
		return err
	}
	for _, name := range s.names {
		config, err := s.stage.Install(ctx, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		dir := filepath.Join(s.root, name)
		ticket, member := filepath.Join(dir, "ticket.json"), filepath.Join(dir, "member", "member.json")
		if _, err := s.fleet(ctx, "enroll", "--dir", s.dir(), "--url", s.url, "--out", ticket, name); err != nil {
			return err
		}
		if _, err := s.fleet(ctx, "join", "--ticket", ticket, "--out", member); err != nil {
			return err
		}
		agent := s.command(ctx, "agent", "--config", config, "--membership", member)
		log, err := os.OpenFile(filepath.Join(dir, "agent.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		agent.Stdout, agent.Stderr = log, log
		err = agent.Start()
		if err = errors.Join(err, log.Close()); err != nil {
			return err
		}
		s.all = append(s.all, agent)
		printf(s.out, "   %s is enrolled\n", name)
	}
	return nil
}

func (s *region) startCenter(ctx context.Context, port string) error {
	s.center = s.command(ctx, "coordinator", "--dir", s.dir(), "--host", "127.0.0.1", "--port="+port)
	out, err := s.center.StdoutPipe()
	if err != nil {
		return err
	}
	s.center.Stderr = os.Stderr
	if err := s.center.Start(); err != nil {
		return err
	}
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the center does not start: %w", err)
	}
	s.url = "tls://127.0.0.1:" + strings.TrimSpace(line[strings.LastIndex(line, " ")+1:])
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return nil
}

// openPage starts the page, which outlives the coordinator's death. Its address is a
// secret of this demo alone.
func (s *region) openPage(ctx context.Context) error {
	p := s.command(ctx, "page", "--dir", s.dir(), "--url", s.url, "--listen", "127.0.0.1:0")
	out, err := p.StdoutPipe()
	if err != nil {
		return err
	}
	p.Stderr = os.Stderr
	if err := p.Start(); err != nil {
		return err
	}
	s.all = append(s.all, p)
	r := bufio.NewReader(out)
	if _, err := r.ReadString('\n'); err != nil {
		return fmt.Errorf("the page does not start: %w", err)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	address, err := os.ReadFile(filepath.Join(s.dir(), "page.url"))
	if err != nil {
		return err
	}
	s.page = strings.TrimSpace(string(address))
	printf(s.out, "The page of the center, until the demo ends: %s\n", s.page)
	return nil
}

// onPage waits until the page shows these texts, which it does in a moment.
func (s *region) onPage(ctx context.Context, texts ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		page, err := s.shown(ctx)
		if err != nil {
			return err
		}
		missing := slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return strings.Contains(page, template.HTMLEscapeString(text)) })
		if len(missing) == 0 {
			printf(s.out, "   the page shows it\n")
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the page does not show %q", missing)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// shown returns what the page shows now.
func (s *region) shown(ctx context.Context) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.page, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(answer.Body)
	return string(b), errors.Join(err, answer.Body.Close())
}

// command returns a command of this program as its own process.
func (s *region) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.self, args...)
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func (s *region) fleet(ctx context.Context, args ...string) ([]byte, error) {
	cmd := s.command(ctx, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("fleet %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return out, nil
}

// release publishes a release and starts its rollout: a canary, then the others.
func (s *region) release(ctx context.Context, id, v string, bad bool) error {
	dist, sum, err := s.stage.Publish(v, bad)
	if err != nil {
		return err
	}
	_, err = s.fleet(ctx, "rollout", "start", "--dir", s.dir(), "--url", s.url, "--id", id, "--distribution", dist, "--version", v, "--sha256", sum, "--canary", s.names[0], "--cap", "2")
	return err
}

// until waits until a rollout is as expected, and prints it then.
func (s *region) until(ctx context.Context, id string, ok func(*rollout.Rollout) bool) error {
	for {
		out, err := s.fleet(ctx, "rollout", "status", "--json", "--dir", s.dir(), "--url", s.url, "--id", id)
		if err != nil {
			return err
		}
		var all []*rollout.Rollout
		if err := json.Unmarshal(out, &all); err != nil {
			return err
		}
		if ok(all[0]) {
			show(s.out, all[0])
			return nil
		}
		if all[0].Phase != rollout.Running {
			show(s.out, all[0])
			return fmt.Errorf("rollout %s is %s", id, all[0].Phase)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// verify checks that each site has this version, and that software and data agree.
func (s *region) verify(ctx context.Context, want string) error {
	for _, name := range s.names {
		got, err := s.stage.Version(ctx, name)
		if err != nil || got != want {
			return errors.Join(fmt.Errorf("%s has version %q instead of %s", name, got, want), err)
		}
	}
	printf(s.out, "   all %d sites are healthy at version %s\n", len(s.names), want)
	return nil
}

// report writes the report of a rollout, and checks that it has all sites.
func (s *region) report(ctx context.Context, id string) error {
	table, text := filepath.Join(s.root, "report.csv"), filepath.Join(s.root, "report.html")
	if _, err := s.fleet(ctx, "rollout", "report", "--dir", s.dir(), "--url", s.url, "--id", id, "--csv", table, "--html", text); err != nil {
		return err
	}
	for _, file := range []string{table, text} {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if n := strings.Count(string(b), string(rollout.Committed)); n < len(s.names) {
			return fmt.Errorf("%s has %d of %d sites", file, n, len(s.names))
		}
	}
	printf(s.out, "   its report has all %d sites, as HTML and CSV\n", len(s.names))
	return nil
}

// end stops everything.
func (s *region) end() error {
	if s.center != nil {
		s.all = append(s.all, s.center)
	}
	for _, c := range s.all {
		if c.Process != nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	}
	var err error
	if s.stage != nil {
		err = s.stage.Close()
	}
	return errors.Join(err, durable.RemoveAll(s.root))
}
