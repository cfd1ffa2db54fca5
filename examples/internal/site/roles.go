package site

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/install/service"
	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/rollback"
)

// The roles that are a few lines each over the packages.

// fence keeps users out: the application first, then its databases.
type fence struct {
	app       applicationConfig
	services  service.Group
	databases []*postgres.Database // those that keep users out by themselves
	unfenced  []*postgres.Database // those that do so for their snapshot alone
}

// String is for whoever prints an update, as that of data.
func (f fence) String() string { return "fence" }

func (f fence) Close(ctx context.Context) error {
	if err := command(ctx, f.app.Close); err != nil {
		return err
	}
	if err := f.services.Close(ctx); err != nil {
		return err
	}
	for _, db := range f.databases {
		if err := db.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (f fence) Open(ctx context.Context) error {
	for _, db := range slices.Concat(f.databases, f.unfenced) { // a crash may have left any of them closed
		if err := db.Open(ctx); err != nil {
			return err
		}
	}
	if err := f.services.Open(ctx); err != nil {
		return err
	}
	return command(ctx, f.app.Open)
}

// application is what runs behind the fence.
type application struct {
	app      applicationConfig
	services service.Group
}

func (a application) Stop(ctx context.Context) error {
	if err := command(ctx, a.app.Stop); err != nil {
		return err
	}
	return a.services.Stop(ctx)
}

func (a application) Start(ctx context.Context) error {
	if err := a.services.Start(ctx); err != nil {
		return err
	}
	return command(ctx, a.app.Start)
}

// services are those of the system, in the order in which they are stopped.
func (s *Site) services(names []string) service.Group {
	var g service.Group
	for _, name := range names {
		g = append(g, &service.Service{Name: name, Dir: filepath.Join(s.Config.State, "services")})
	}
	return g
}

// command runs one of the operator's commands in our environment, nil for
// none.
func command(ctx context.Context, argv []string) error {
	if len(argv) == 0 {
		return nil
	}
	return process.Run(ctx, argv, nil, nil)
}

// data is a target of package backup, kept in its store.
type data struct {
	store  *backup.Store
	name   string
	target backup.Target
}

// String is for whoever prints an update: fmt looks into fields, at connection
// strings, too.
func (d data) String() string { return d.name }

func (d data) Snapshot(ctx context.Context) (string, error) {
	snap, err := d.store.Take(ctx, snapshotOf(d.name), d.target)
	return snap.ID, err
}

// snapshotOf is what a snapshot of some data is called.
func snapshotOf(name string) string { return "before an update: " + name }

func (d data) Verify(ctx context.Context, ref string) error { return d.store.Verify(ctx, ref) }

// Restore leaves what it replaced aside; Tidy drops it once the update has
// ended.
func (d data) Restore(ctx context.Context, ref string) error {
	_, err := d.store.Restore(ctx, ref, d.target)
	return err
}

func (d data) Tidy(ctx context.Context) error {
	if t, ok := d.target.(backup.Tidier); ok {
		return t.Tidy(ctx)
	}
	return nil
}

func (d data) Counts(ctx context.Context) (map[string]int64, error) {
	if c, ok := d.target.(backup.Counter); ok {
		return c.Counts(ctx)
	}
	return nil, errors.ErrUnsupported
}

func (d data) Needs(ctx context.Context) ([]rollback.Need, error) {
	needs, err := d.store.Needs(ctx, d.target)
	var out []rollback.Need
	for _, n := range needs {
		if n.Path != "" { // a database server elsewhere looks after its own room
			out = append(out, rollback.Need{Path: n.Path, Bytes: n.Bytes, For: d.name + ": " + n.For})
		}
	}
	return out, err
}

// unfenced is a database that installer and probe come into as the application
// does: it is closed for its snapshot alone.
type unfenced struct {
	data
	db *postgres.Database
}

func (u unfenced) Snapshot(ctx context.Context) (ref string, err error) {
	if err := u.db.Close(ctx); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, u.db.Open(ctx)) }()
	return u.data.Snapshot(ctx)
}

func (u unfenced) Restore(ctx context.Context, ref string) error {
	if err := u.data.Restore(ctx, ref); err != nil {
		return err
	}
	return u.db.Open(ctx) // it may have been closed when the snapshot was taken
}

// environment is what a program needs to find its way, and the named
// variables of ours.
func environment(names []string) []string {
	env := install.BaseEnv()
	for _, name := range names {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}
