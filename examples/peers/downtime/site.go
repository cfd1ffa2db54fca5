//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/aspupdate/aspupdate/examples/peers/internal/pg"
)

// A way is how a site is updated.
type way string

const (
	ours      way = "aspupdate"
	custom    way = "script, `pg_dump -Fc`"
	directory way = "script, `pg_dump -Fd -j2`"
)

var ways = []way{ours, custom, directory}

// The versions of the application, and how long each installer takes.
const (
	oldVersion = "7.12.100"
	newVersion = "7.13.100"
	badVersion = "7.14.100" // its installer fails
	installing = time.Second
	watching   = time.Second // how long ours watches the health
	role       = "application"
)

// A site is a directory, databases, and a user who asks without end.
type site struct {
	*pg.Server // nil without databases
	kind
	dir   string
	bytes int64
}

func (s *site) in(path ...string) string { return filepath.Join(append([]string{s.dir}, path...)...) }

func open(ctx context.Context, p plan, k kind) (_ *site, err error) {
	s := &site{kind: k}
	if s.dir, err = os.MkdirTemp(p.parent, "aspupdate-peers-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := os.Mkdir(s.in("app"), 0o755); err != nil {
		return nil, err
	}
	part := make([]byte, 256<<10)
	for i := range max(1, int(float64(k.files)*p.scale)) {
		_, _ = rand.Read(part) // never fails
		if err := os.WriteFile(s.in("app", fmt.Sprintf("part%04d.dll", i)), part, 0o644); err != nil {
			return nil, err
		}
		s.bytes += int64(len(part))
	}
	for version, text := range map[string]string{oldVersion: "", newVersion: "", badVersion: "exit 1\n"} {
		script := fmt.Sprintf("#!/bin/sh\nsleep %g\necho %s >\"$1/version\"\n%s", installing.Seconds(), version, text)
		if err := os.WriteFile(s.in(version+".sh"), []byte(script), 0o755); err != nil { //nolint:gosec // a program
			return nil, err
		}
	}
	if err := os.WriteFile(s.in("app", "version"), []byte(oldVersion+"\n"), 0o644); err != nil {
		return nil, err
	}
	if len(k.databases) == 0 {
		return s, nil
	}
	if s.Server, err = pg.Start(p.parent); err != nil {
		return nil, err
	}
	if err := s.SQL(ctx, "postgres", "CREATE ROLE "+role+" LOGIN PASSWORD '"+s.Password+"'"); err != nil {
		return nil, err
	}
	for _, name := range k.databases {
		if err := s.Fill(ctx, name, role, k.scale*p.scale); err != nil {
			return nil, err
		}
		size, err := s.Text(ctx, name, "SELECT pg_database_size(current_database())")
		if err != nil {
			return nil, err
		}
		var n int64
		if _, err := fmt.Sscan(size, &n); err != nil {
			return nil, err
		}
		s.bytes += n
	}
	return s, nil
}

func (s *site) close() error {
	if s.Server != nil {
		s.Stop()
	}
	return os.RemoveAll(s.dir)
}

func (s *site) settle(ctx context.Context) error {
	if s.Server != nil {
		return s.Settle(ctx)
	}
	return exec.CommandContext(ctx, "sync").Run()
}

// Times are how long users were out: in a good update, in an operator's rollback
// of it, in an update that fails, and of the last from the failure on.
type times struct{ good, operator, failing, back time.Duration }

// course runs an update, its rollback and an update that fails.
func (s *site) course(ctx context.Context, w way) (t times, err error) {
	run := s.script(w)
	if w == ours {
		run = s.ours()
	}
	defer func() {
		for _, name := range []string{"copy", "state", "backups", "archive"} {
			err = errors.Join(err, os.RemoveAll(s.in(name)))
		}
	}()
	one := func(what string, installers int, version string) (time.Duration, time.Time, error) {
		if err := s.settle(ctx); err != nil {
			return 0, time.Time{}, err
		}
		u := s.user()
		failed, err := run(ctx, what)
		out, in := u.leave()
		if err == nil {
			err = s.is(ctx, version)
		}
		if err != nil {
			return 0, time.Time{}, fmt.Errorf("%s: %w", what, err)
		}
		off := time.Duration(installers) * installing
		if w == ours {
			off += watching
		}
		if !failed.IsZero() {
			t.back = in.Sub(failed) - installing
			if w == ours {
				t.back -= watching
			}
		}
		return in.Sub(out) - off, failed, nil
	}
	if t.good, _, err = one("update", 1, newVersion); err != nil {
		return t, err
	}
	if t.operator, _, err = one("back", 1, oldVersion); err != nil {
		return t, err
	}
	var failed time.Time
	if t.failing, failed, err = one("fail", 2, oldVersion); err == nil && failed.IsZero() {
		err = errors.New("the installer did not fail")
	}
	return t, err
}

// is returns an error unless the site has the version and all rows.
func (s *site) is(ctx context.Context, version string) error {
	text, err := os.ReadFile(s.in("app", "version"))
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(string(text)); got != version {
		return fmt.Errorf("the application has version %q, not %s", got, version)
	}
	for _, name := range s.databases {
		table := "photos"
		if name == pg.Pgbench {
			table = "pgbench_accounts"
		}
		if n, err := s.Text(ctx, name, "SELECT count(*) FROM "+table); err != nil || n == "0" {
			return errors.Join(err, fmt.Errorf("%s has %s rows", name, n))
		}
	}
	return nil
}

// A user asks the application every few milliseconds.
type user struct {
	stop chan struct{}
	done chan [2]time.Time
}

// user starts a user. The application serves a request if the entry is not closed,
// and answers from a database by its own role.
func (s *site) user() user {
	u := user{make(chan struct{}), make(chan [2]time.Time, 1)}
	var served atomic.Bool
	go func() {
		var c *pgx.Conn
		defer func() {
			if c != nil {
				_ = c.Close(context.Background())
			}
		}()
		ask := func() bool {
			if _, err := os.Stat(s.in("closed")); err == nil {
				return false
			}
			if len(s.databases) == 0 {
				return true
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if c == nil || c.IsClosed() {
				var err error
				if c, err = pgx.Connect(ctx, s.URI(role, s.Password, s.databases[len(s.databases)-1])); err != nil {
					return false
				}
			}
			_, err := c.Exec(ctx, "SELECT 1")
			return err == nil
		}
		var last time.Time
		var longest [2]time.Time
		for stopping := false; ; time.Sleep(2 * time.Millisecond) {
			if ask() {
				now := time.Now()
				if !last.IsZero() && now.Sub(last) > longest[1].Sub(longest[0]) {
					longest = [2]time.Time{last, now}
				}
				last = now
				served.Store(true)
				if stopping {
					break
				}
			}
			select {
			case <-u.stop:
				stopping = true // after one more request that is served
			default:
			}
		}
		u.done <- longest
	}()
	for !served.Load() {
		time.Sleep(time.Millisecond)
	}
	return u
}

// leave returns the beginning and the end of the longest time without a request
// that was served.
func (u user) leave() (out, in time.Time) {
	close(u.stop)
	longest := <-u.done
	return longest[0], longest[1]
}
