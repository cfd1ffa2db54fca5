package site

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	_ "modernc.org/sqlite" // the driver of [[sqlite]]

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/command"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/install/service"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// protect adds the fence and the data to an update. A database of a
// server is both.
func (s *Site) protect(u *rollback.Update) {
	c, app := s.Config, s.Config.Application
	var fence []rollback.Fence
	if app.Nginx.on() {
		n := s.nginx()
		fence = append(fence, named{n, "nginx " + app.Nginx.Include, n.Closed})
	}
	if app.IIS.on() {
		i := s.iis()
		fence = append(fence, named{i, "IIS " + app.IIS.Site, i.Closed})
	}
	if len(app.Close) > 0 {
		entry := s.commands(app.Close, app.Open, app.FenceStatus)
		fence = append(fence, named{entry, commandsName("application.close", app.Close), entry.Closed})
	}
	if len(app.FenceServices) > 0 {
		fence = append(fence, named{s.group(app.FenceServices), "services " + strings.Join(app.FenceServices, ", "), s.servicesClosed(app.FenceServices)})
	}
	if cut := (cutShort{s}); cut.is() && !s.opening {
		fence = append(fence, followed{cut})
	}
	add := func(name string, exists func(context.Context) bool, t backup.Target, snapshotFence rollback.Fence) {
		if !s.takesPart(name, exists) {
			return
		}
		u.Data = append(u.Data, rollback.Dataset{Name: name, Data: roles.Data{
			Store: s.Store(), Name: name, Target: t, MustProve: mustProve(t), Fence: snapshotFence, State: s.records(), Early: true, SetupWrites: c.SetupWrites,
		}})
	}
	for _, p := range c.Postgres {
		db, name := &postgres.Database{URI: p.value(), Checksums: true, NoClone: p.NoClone, Observe: s.Observe.Backup}, p.names().data()
		part := named{db, name, db.Closed}
		if p.Unfenced != "" {
			fence = append(fence, roles.OpenOnly(s.fenceOf(p.exists, part)))
			add(name, p.exists, db, db)
			continue
		}
		fence = append(fence, s.fenceOf(p.exists, part))
		add(name, p.exists, db, nil)
	}
	for _, p := range c.MSSQL {
		db := s.mssqlTarget(p)
		fence = append(fence, s.fenceOf(p.exists, named{db, p.names().data(), db.Closed}))
		add(p.names().data(), p.exists, db, nil)
	}
	for _, p := range c.SQLite {
		u.Live = append(u.Live, filepath.Dir(p.Path))
		add("sqlite "+filepath.Base(p.Path), there(p.Path), &files.SQLite{Path: p.Path, Open: openExisting}, nil)
	}
	for _, p := range c.Directories {
		add("folder "+p.Path, // the name in journals and snapshots, which stays
			there(p.Path), &files.Directory{Path: p.Path}, nil)
		u.Live = append(u.Live, p.Path)
	}
	for _, p := range c.Commands {
		exists := there(p.Live)
		if len(p.List) > 0 { // the name of a database
			exists = func(context.Context) bool { return true }
		}
		add("command "+filepath.Base(p.Live), exists, p.target(), nil)
		if len(p.List) == 0 {
			u.Live = append(u.Live, filepath.Dir(p.Live))
		}
	}
	u.Fence = roles.Fence(fence...)
	if app.NoFence != "" {
		u.Fence = rollback.NoFence(app.NoFence)
	}
}

// openExisting opens a database that exists. Where another account can replace it, none is created
// in its place, nor where a link leads.
func openExisting(path string) (*sql.DB, error) {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") { // C:/
		path = "/" + path
	}
	return sql.Open("sqlite", "file://"+(&url.URL{Path: path}).EscapedPath()+"?mode=rw&_pragma=busy_timeout(30000)")
}

// mustProve reports whether it is known only from a proof that a backup can be
// restored. Directories and SQLite files are backed up as what they are, and a command that
// verifies by a trial restore proves each backup when it is made.
func mustProve(t backup.Target) bool {
	switch t := t.(type) {
	case *files.Directory, *files.SQLite:
		return false
	case *command.Target:
		return !slices.ContainsFunc(t.Commands.Verify.Argv, func(a string) bool { return strings.Contains(a, "{new}") })
	}
	return true
}

// application returns what is stopped behind the fence, nil for nothing. First is a first installation.
func (s *Site) application(first bool) rollback.Application {
	app := s.Config.Application
	var a []rollback.Application
	if len(app.Stop) > 0 {
		a = append(a, commanded{s.commands(app.Stop, app.Start, app.Status), len(app.Status) > 0})
	}
	for _, pool := range s.pools(first) {
		a = append(a, pool)
	}
	if len(app.Services) > 0 {
		a = append(a, running{s.services(app.Services), s, app.Services})
	}
	if a == nil {
		return nil
	}
	return roles.Application(a...)
}

// commands returns two of the commands, and the one that reports which of them
// ran last, as one role.
func (s *Site) commands(off, on, status []string) roles.Switch {
	command := func(argv []string) roles.Command {
		return roles.Command{Argv: argv, Environment: s.Config.Application.Environment, State: s.records()}
	}
	return roles.Switch{Off: command(off), On: command(on), Status: command(status)}
}

// A CommandError is that of application.stop or application.start. Without a status
// command it may have failed only because there was nothing to do.
type CommandError struct {
	error
	Status bool // application.status is given
}

func (e *CommandError) Unwrap() error { return e.error }

// commanded is the application that commands stop and start.
type commanded struct {
	roles.Switch
	status bool
}

func (c commanded) Stop(ctx context.Context) error  { return c.failed(c.Switch.Stop(ctx)) }
func (c commanded) Start(ctx context.Context) error { return c.failed(c.Switch.Start(ctx)) }

// failed marks the error of a command that ran to its end.
func (c commanded) failed(err error) error {
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || !exit.Exited() {
		return err
	}
	return &CommandError{err, c.status}
}

// running is the application that services of the system are.
type running struct {
	service.Group
	site  *Site
	names []string
}

// Ended reports whether a service is stopped that ran before the update.
func (r running) Ended(ctx context.Context) (bool, error) {
	for _, name := range r.names {
		st, err := service.Query(ctx, name)
		if err != nil {
			return false, err
		}
		if st.Exists && !st.Running && !r.site.wasOff(name) {
			return true, nil
		}
	}
	return false, nil
}

// records returns the directory in which the commands of an update are recorded
// while they run.
func (s *Site) records() string { return filepath.Join(s.Config.State, "commands") }

// services returns services of the system, in the order in which they are stopped.
func (s *Site) services(names []string) service.Group {
	var g service.Group
	for _, name := range names {
		g = append(g, &service.Service{Name: name, Dir: filepath.Join(s.Config.State, "services")})
	}
	return g
}
