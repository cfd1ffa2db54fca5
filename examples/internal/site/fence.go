package site

import (
	"database/sql"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver of [[sqlite]]

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/install/service"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// protect adds the fence and the data to an update. A PostgreSQL database is
// both.
func (s *Site) protect(u *rollback.Update) {
	c, app := s.Config, s.Config.Application
	var fence roles.Fence
	if len(app.Close) > 0 {
		fence = append(fence, app.commands(app.Close, app.Open))
	}
	if len(app.FenceServices) > 0 {
		fence = append(fence, s.services(app.FenceServices))
	}
	add := func(name string, t backup.Target, snapshotFence rollback.Fence) {
		u.Data = append(u.Data, rollback.Dataset{Name: name, Data: roles.Data{Store: s.Store(), Name: name, Target: t, Fence: snapshotFence}})
	}
	for _, p := range c.Postgres {
		db, name := &postgres.Database{URI: p.value(), Checksums: true, Observe: s.Observe.Backup}, "postgres "+p.Name
		if p.Unfenced != "" {
			fence = append(fence, roles.OpenOnly(db))
			add(name, db, db)
			continue
		}
		fence = append(fence, db)
		add(name, db, nil)
	}
	for _, p := range c.SQLite {
		u.Live = append(u.Live, filepath.Dir(p.Path))
		add("sqlite "+filepath.Base(p.Path), &files.SQLite{Path: p.Path, Open: func(path string) (*sql.DB, error) { return sql.Open("sqlite", path+"?_pragma=busy_timeout(30000)") }}, nil)
	}
	for _, p := range c.Directories {
		add("folder "+p.Path, // the name in journals and snapshots, which stays
			&files.Directory{Path: p.Path}, nil)
		u.Live = append(u.Live, p.Path)
	}
	for _, p := range c.Commands {
		add("command "+filepath.Base(p.Live), p.target(), nil)
		if len(p.List) == 0 {
			u.Live = append(u.Live, filepath.Dir(p.Live))
		}
	}
	u.Fence = fence
	if app.NoFence != "" {
		u.Fence = rollback.NoFence(app.NoFence)
	}
}

// application returns what is stopped behind the fence, nil for nothing.
func (s *Site) application() rollback.Application {
	app := s.Config.Application
	var a roles.Application
	if len(app.Stop) > 0 {
		a = append(a, app.commands(app.Stop, app.Start))
	}
	if len(app.Services) > 0 {
		a = append(a, s.services(app.Services))
	}
	if a == nil {
		return nil
	}
	return a
}

// commands returns two of the commands as one role.
func (app applicationConfig) commands(off, on []string) roles.Switch {
	return roles.Switch{Off: roles.Command{Argv: off, Environment: app.Environment}, On: roles.Command{Argv: on, Environment: app.Environment}}
}

// services returns services of the system, in the order in which they are stopped.
func (s *Site) services(names []string) service.Group {
	var g service.Group
	for _, name := range names {
		g = append(g, &service.Service{Name: name, Dir: filepath.Join(s.Config.State, "services")})
	}
	return g
}
