package site

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"

	_ "modernc.org/sqlite" // the driver of [[sqlite]]

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// Next lays the next update out: from what is installed to the newest release
// on the server, whose installers must lie in the archive. Nothing is written.
// The error wraps [ErrNothing] where that release is installed, and is a
// [*rollback.Refusal] where an update is pending.
func (s *Site) Next(ctx context.Context) (*rollback.Update, error) { return s.next(ctx, s.archived) }

// FetchNext is Next, and brings the installers into the archive first.
func (s *Site) FetchNext(ctx context.Context) (*rollback.Update, error) {
	return s.next(ctx, s.fetched)
}

func (s *Site) next(ctx context.Context, get func(context.Context, []fetch.Release) ([]rollback.Release, error)) (*rollback.Update, error) {
	st, err := s.Status()
	if err != nil {
		return nil, err
	}
	if err := st.Blocked(); err != nil {
		return nil, err
	}
	from, err := s.installed(ctx, st)
	if err != nil {
		return nil, err
	}
	live, err := s.serverFolders(ctx)
	if err != nil {
		return nil, err
	}
	var u *rollback.Update
	err = s.look(ctx, func(found []fetch.Release) (err error) {
		to := make([]rollback.Release, len(found))
		for i := range found {
			to[i] = rollback.Release{Version: found[i].Version.String()}
		}
		// Before anything is fetched, for there may be nothing to do, or no good
		// place to put it.
		if _, err := s.lay(from, to, live); err != nil {
			return err
		}
		if to, err = get(ctx, found); err != nil {
			return err
		}
		u, err = s.lay(from, to, live)
		return err
	})
	return u, err
}

// Pending lays out the update that the journal has as pending, nil if there is
// none. [rollback.Update.Recover] brings it to its end, whatever the hour.
func (s *Site) Pending() (*rollback.Update, error) {
	st, err := s.Status()
	if err != nil || st.Pending == nil {
		return nil, err
	}
	only := *s                                              // the next update asks for its own window
	only.AnyTime = "a pending update is brought to its end" // R13 is a matter of its start
	u, err := only.update(st.Pending.Plan.Parts)
	if err != nil {
		return nil, unfinished(*st.Pending, err)
	}
	return u, nil
}

// Back lays out the way back that the journal has after a commit, for
// [rollback.Update.PlanRevert] and Revert (R15). The error wraps [ErrNothing]
// if there is none.
func (s *Site) Back(ctx context.Context) (*rollback.Update, error) {
	st, err := s.Status()
	if err == nil {
		err = st.Blocked()
	}
	switch {
	case err != nil:
		return nil, err
	case st.RestorePoint == nil:
		return nil, fmt.Errorf("%w: no update was committed here that could be taken back (R15)", ErrNothing)
	}
	u, err := s.update(st.RestorePoint.Parts)
	if err != nil {
		return nil, err
	}
	live, err := s.serverFolders(ctx)
	u.Live = append(u.Live, live...)
	return u, err
}

// Adopt takes the versions that the probes find as those to update from. Their
// Setups must be in the archive: [ErrPrevious].
func (s *Site) Adopt(ctx context.Context, reason string) error {
	var parts []rollback.PlanPart
	for _, d := range s.Config.Distributions {
		r, err := s.running(ctx, d)
		if err != nil {
			return err
		}
		parts = append(parts, rollback.PlanPart{Name: d.Name, From: r, To: r})
	}
	u, err := s.update(parts)
	if err != nil {
		return err
	}
	return u.Adopt(ctx, reason)
}

// Lift lets a release in again that was rolled back here; [ErrNothing] if none
// of this version was.
func (s *Site) Lift(distribution, v, reason string) error {
	st, err := s.Status()
	if err != nil {
		return err
	}
	q, ok := st.QuarantineOf(distribution, rollback.Release{Version: v})
	if !ok {
		return fmt.Errorf("%w: %s %s is not quarantined", ErrNothing, distribution, v)
	}
	return s.journal().Lift(distribution, q.Release, reason)
}

// Forget lets go of what an operator's rollback kept aside.
func (s *Site) Forget(update, reason string) error { return s.journal().Forget(update, reason) }

// journal is an update for decisions, which ask no role.
func (s *Site) journal() *rollback.Update {
	return &rollback.Update{Dir: s.Config.State, Observe: s.Observe.Rollback}
}

// installed returns what each distribution is updated from: what the journal
// has as committed, or, where we have never updated it, what the probe finds
// and the archive holds.
func (s *Site) installed(ctx context.Context, st rollback.Status) ([]rollback.Release, error) {
	from := make([]rollback.Release, len(s.Config.Distributions))
	for i, d := range s.Config.Distributions {
		r, ok := st.Committed[d.Name]
		switch {
		case ok && s.First:
			return nil, fmt.Errorf("%w: R3: %s %s is installed; leave --first-installation out", rollback.ErrRefused, d.Name, r.Version)
		case ok:
			from[i] = r
			continue
		case s.First && d.Probe.Installed == "":
			return nil, fmt.Errorf("%w: distribution %s: a first installation wants probe.installed: which path is there once it is installed?", ErrConfig, d.Name)
		case s.First:
			continue
		}
		var err error
		if from[i], err = s.running(ctx, d); err != nil {
			return nil, err
		}
	}
	return from, nil
}

// running returns the Setup in the archive of the version that the probe
// finds.
func (s *Site) running(ctx context.Context, d distributionConfig) (rollback.Release, error) {
	text, err := newProbe(d.Probe, nil).Version(ctx)
	switch {
	case err != nil:
		return rollback.Release{}, fmt.Errorf("%s: which version is installed? %w; if none is, say --first-installation", d.Name, err)
	case text == "":
		return rollback.Release{}, fmt.Errorf("%s: nothing is installed, %s is not there; say --first-installation", d.Name, d.Probe.Installed)
	}
	v, err := version.Parse(text)
	if err != nil {
		return rollback.Release{}, fmt.Errorf("%s: the probe answers %q: %w", d.Name, text, err)
	}
	item, err := s.Archive().Get(archive.Key{Distribution: d.Name, Version: v, Variant: version.Setup})
	if err != nil {
		return rollback.Release{}, fmt.Errorf("%w: %s %s (%w)", ErrPrevious, d.Name, v, err)
	}
	return release(item), nil
}

// serverFolders returns the folders of database servers on this machine.
func (s *Site) serverFolders(ctx context.Context) ([]string, error) {
	var dirs []string
	for _, p := range s.Config.Postgres {
		dir, err := (&postgres.Database{URI: p.value()}).DataDir(ctx)
		if err != nil {
			return nil, fmt.Errorf("postgres %s: where are the server's files? %w", p.Name, err)
		}
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

// lay lays out the update between two states and checks it as far as that
// can be done without looking at the machine.
func (s *Site) lay(from, to []rollback.Release, live []string) (*rollback.Update, error) {
	parts, err := s.parts(from, to)
	if err != nil {
		return nil, err
	}
	u, err := s.update(parts)
	if err != nil {
		return nil, err
	}
	u.Live = append(u.Live, live...)
	return u, u.Check()
}

// parts lays out an update, unless everything is at its newest version.
func (s *Site) parts(from, to []rollback.Release) ([]rollback.PlanPart, error) {
	var parts []rollback.PlanPart
	newer := false
	for i, d := range s.Config.Distributions {
		old, err := parseOrZero(from[i].Version)
		if err != nil {
			return nil, err
		}
		next, err := parseOrZero(to[i].Version)
		if err != nil {
			return nil, err
		}
		switch next.Compare(old) {
		case 1:
			newer = true
		case 0:
			to[i] = from[i] // also a re-release of what is installed: that is no update
		default:
			return nil, fmt.Errorf("%w: %s %s is installed, and the newest that fits is %s", ErrNothing, d.Name, old, next)
		}
		part := rollback.PlanPart{Name: d.Name, From: from[i], To: to[i]}
		if s.First && to[i].SHA256 != "" {
			item, err := s.Archive().Get(archive.Key{Distribution: d.Name, Version: next, Variant: version.Setup})
			if err != nil {
				return nil, err
			}
			part.Setup = release(item)
		}
		parts = append(parts, part)
	}
	if !newer {
		return nil, fmt.Errorf("%w: version %s is installed and is the newest", ErrNothing, to[0].Version)
	}
	return parts, nil
}

// update fills in the roles of an update of these parts.
func (s *Site) update(parts []rollback.PlanPart) (*rollback.Update, error) {
	c := s.Config
	firstOfYear, err := CrossesYear(parts)
	if err != nil {
		return nil, err
	}
	if len(parts) != len(c.Distributions) {
		return nil, fmt.Errorf("%w: the update has %d distributions, the configuration %d", ErrConfig, len(parts), len(c.Distributions))
	}
	u := &rollback.Update{
		Dir: c.State, Live: slices.Clone(c.Live), Kept: []string{c.Archive, c.Backups}, NoData: c.NoData,
		Deadlines: c.Deadlines.deadlines(), Observe: s.Observe.Rollback,
	}
	if app := c.Application; len(app.Stop)+len(app.Services) > 0 {
		u.App = application{app, s.services(app.Services)}
	}
	s.protect(u)
	if u.Window, err = s.window(firstOfYear, u.Data); err != nil {
		return nil, err
	}
	for i, p := range parts {
		d := c.Distributions[i]
		if d.Name != p.Name {
			return nil, fmt.Errorf("%w: the journal has %s where the configuration has %s", ErrConfig, p.Name, d.Name)
		}
		inst := installer{conf: d, archive: s.Archive(), runner: s.runner(), first: p.From.Version == "", limit: u.Deadlines.Install, to: p.To}
		if firstOfYear {
			if inst.requirements, err = s.requirements(p.To.Version); err != nil {
				return nil, err
			}
		}
		u.Parts = append(u.Parts, rollback.Part{
			Name: p.Name, From: p.From, To: p.To, Setup: p.Setup,
			Installer: inst.role(), Probe: newProbe(d.Probe, s.Observe.Install),
		})
	}
	return u, nil
}

// protect fills in what keeps users out and what is backed up. A database of
// PostgreSQL is both.
func (s *Site) protect(u *rollback.Update) {
	c := s.Config
	f := fence{app: c.Application, services: s.services(c.Application.FenceServices)}
	add := func(name string, t backup.Target) {
		u.Data = append(u.Data, rollback.Dataset{Name: name, Data: data{s.Store(), name, t}})
	}
	for _, p := range c.Postgres {
		db, name := &postgres.Database{URI: p.value(), Checksums: true, Observe: s.Observe.Backup}, "postgres "+p.Name
		if p.Unfenced != "" {
			f.unfenced = append(f.unfenced, db)
			u.Data = append(u.Data, rollback.Dataset{Name: name, Data: unfenced{data{s.Store(), name, db}, db}})
			continue
		}
		f.databases = append(f.databases, db)
		add(name, db)
	}
	for _, p := range c.SQLite {
		u.Live = append(u.Live, filepath.Dir(p.Path))
		add("sqlite "+filepath.Base(p.Path), &files.SQLite{Path: p.Path, Open: func(path string) (*sql.DB, error) { return sql.Open("sqlite", path+"?_pragma=busy_timeout(30000)") }})
	}
	for _, p := range c.Folders {
		add("folder "+p.Path, &files.Directory{Path: p.Path})
		u.Live = append(u.Live, p.Path)
	}
	for _, p := range c.Commands {
		add("command "+filepath.Base(p.Live), p.target())
		if len(p.List) == 0 {
			u.Live = append(u.Live, filepath.Dir(p.Live))
		}
	}
	u.Fence = f
	if c.Application.NoFence != "" {
		u.Fence = rollback.NoFence(c.Application.NoFence)
	}
}
