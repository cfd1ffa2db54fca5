//go:build linux

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/version"
)

// A runner does one piece of work, "update", "back" or "fail". It returns when
// the installer failed, or the zero time.
type runner func(ctx context.Context, what string) (failed time.Time, err error)

//go:embed script.sh
var script string

// script returns the peer.
func (s *site) script(w way) runner {
	return func(ctx context.Context, what string) (failed time.Time, err error) {
		args := []string{"update", s.in(newVersion + ".sh"), newVersion}
		switch what {
		case "back":
			args = args[:1]
			args[0] = "back"
		case "fail":
			args = []string{"update", s.in(badVersion + ".sh"), badVersion}
		}
		cmd := exec.CommandContext(ctx, "bash", append([]string{"-c", script, "script.sh"}, args...)...)
		format := "custom"
		if w == directory {
			format = "directory"
		}
		cmd.Env = append(os.Environ(), "APP="+s.in("app"), "COPY="+s.in("copy"), "ENTRY="+s.in("closed"), "OLD="+s.in(oldVersion+".sh"),
			"PREVIOUS="+oldVersion, "DATABASES="+strings.Join(s.databases, " "), "ROLE="+role, "FORMAT="+format)
		if s.Server != nil {
			cmd.Env = append(cmd.Env, "PATH="+s.Bin+":"+os.Getenv("PATH"),
				"PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(s.Port), "PGUSER=postgres", "PGPASSWORD="+s.Password)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			return failed, fmt.Errorf("%w: %s", err, out)
		}
		if what == "fail" {
			text, err := os.ReadFile(s.in("copy", "failed"))
			if err != nil {
				return failed, err
			}
			seconds, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
			if err != nil {
				return failed, err
			}
			failed = time.UnixMicro(int64(seconds * 1e6))
		}
		return failed, nil
	}
}

// entry is the application's own fence: no request is served while a file exists.
type entry string

func (e entry) Close(context.Context) error { return os.WriteFile(string(e), nil, 0o644) }

func (e entry) Open(context.Context) error {
	if err := os.Remove(string(e)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (e entry) Closed(context.Context) (bool, error) {
	_, err := os.Stat(string(e))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// ours returns this library's side, on a state of its own.
func (s *site) ours() runner {
	versions, backups := &archive.Archive{Dir: s.in("archive")}, &backup.Store{Dir: s.in("backups")}
	key := func(text string) archive.Key {
		return archive.Key{Distribution: "ASP", Version: version.MustParse(text), Variant: version.Setup}
	}
	items := map[string]archive.Item{}
	imported := func(ctx context.Context) error {
		for _, text := range []string{oldVersion, newVersion, badVersion} {
			item, err := versions.Import(ctx, s.in(text+".sh"), key(text), archive.Unauthenticated("made here"))
			if err != nil {
				return err
			}
			items[text] = item
		}
		return nil
	}
	app := &files.Directory{Path: s.in("app")}
	fences := []rollback.Fence{entry(s.in("closed"))}
	data := []rollback.Dataset{{Name: "app", Data: roles.Data{Store: backups, Name: "app", Target: app, Early: true}}}
	for _, name := range s.databases {
		db := &postgres.Database{URI: s.Admin(name), Bin: s.Bin}
		fences = append(fences, db)
		data = append(data, rollback.Dataset{Name: name, Data: roles.Data{Store: backups, Name: name, Target: db, State: s.in("state", "programs")}})
	}
	update := func(from, to string, failed *time.Time) *rollback.Update {
		return &rollback.Update{
			Parallel: runtime.NumCPU(),
			Dir:      s.in("state"), Live: []string{s.in("app")}, Kept: []string{versions.Dir, backups.Dir},
			Window: rollback.AnyTime("a benchmark"), Fence: roles.Fence(fences...), Data: data, Steady: watching,
			Observe: func(e rollback.Event) {
				if e.Step == "install" && e.Kind == rollback.EventFailed && failed.IsZero() {
					*failed = e.Time
				}
			},
			Parts: []rollback.Part{{
				Name: "ASP", From: roles.Release(items[from]), To: roles.Release(items[to]),
				Probe: roles.Probe{Interval: 100 * time.Millisecond, Probe: install.ProbeFunc(func(context.Context) (string, error) {
					text, err := os.ReadFile(s.in("app", "version"))
					return strings.TrimSpace(string(text)), err
				})},
				Installer: roles.Installers{
					Archive: versions, Runner: &install.Runner{State: s.in("state", "install")}, From: items[from].Key, To: items[to].Key,
					Command: install.Command{Kind: install.Script, Args: []string{s.in("app")}},
				}.Role(),
			}},
		}
	}
	return func(ctx context.Context, what string) (failed time.Time, err error) {
		if len(items) == 0 {
			if err := imported(ctx); err != nil {
				return failed, err
			}
		}
		switch what {
		case "back":
			u := update(newVersion, oldVersion, &failed)
			plan, err := u.PlanRevert(ctx)
			if err == nil {
				_, err = u.Revert(ctx, plan.Hash, "a benchmark")
			}
			return failed, err
		case "fail":
			u := update(oldVersion, badVersion, &failed)
			plan, err := u.Plan(ctx)
			if err != nil {
				return failed, err
			}
			res, err := u.Run(ctx, plan)
			if res.Outcome == rollback.RolledBack {
				err = nil
			}
			return failed, err
		}
		u := update(oldVersion, newVersion, &failed)
		plan, err := u.Plan(ctx)
		if err == nil {
			_, err = u.Run(ctx, plan)
		}
		return failed, err
	}
}
