package site

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// An Update is an update of the site, with its roles filled in.
type Update struct {
	*rollback.Update
	FirstOfYear bool // R14: it leads into another year
}

// Next lays the next update out: from what is installed to the newest release
// on the server, whose installers must lie in the archive. Nothing is written.
// The error wraps [ErrNothing] where that release is installed, and is a
// [*rollback.Refusal] where an update is pending.
func (s *Site) Next(ctx context.Context) (*Update, error) { return s.next(ctx, s.inArchive) }

// FetchNext is Next, and brings the installers into the archive first.
func (s *Site) FetchNext(ctx context.Context) (*Update, error) {
	return s.next(ctx, s.fetched)
}

func (s *Site) next(ctx context.Context, get func(context.Context, []fetch.Release) ([]release, error)) (*Update, error) {
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
	var u *Update
	err = s.look(ctx, func(newest []fetch.Release) (err error) {
		to := make([]release, len(newest))
		for i := range newest {
			to[i] = found(newest[i])
		}
		// Before anything is fetched, for there may be nothing to do, or no good
		// place to put it.
		if _, err := s.lay(from, to, live); err != nil {
			return err
		}
		if to, err = get(ctx, newest); err != nil {
			return err
		}
		u, err = s.lay(from, to, live)
		return err
	})
	return u, err
}

// Pending lays out the update that the journal has as pending, nil if there is
// none. [rollback.Update.Recover] brings it to its end, whatever the hour.
func (s *Site) Pending() (*Update, error) {
	st, err := s.Status()
	if err != nil || st.Pending == nil {
		return nil, err
	}
	only := *s                                              // the next update asks for its own window
	only.AnyTime = "a pending update is brought to its end" // R13 is a matter of its start
	u, err := only.journaled(st.Pending.Plan.Parts)
	if err != nil {
		return nil, unfinished(*st.Pending, err)
	}
	return u, nil
}

// Back lays out the way back that the journal has after a commit, for
// [rollback.Update.PlanRevert] and Revert (R15). The error wraps [ErrNothing]
// if there is none.
func (s *Site) Back(ctx context.Context) (*Update, error) {
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
	u, err := s.journaled(st.RestorePoint.Parts)
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
	var steps []step
	for _, d := range s.Config.Distributions {
		r, err := s.running(ctx, d)
		if err != nil {
			return err
		}
		steps = append(steps, step{name: d.Name, from: r, to: r})
	}
	u, err := s.update(steps)
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
	q, ok := st.QuarantineOf(distribution, rollback.Release{Version: rollback.Version(v)})
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
func (s *Site) installed(ctx context.Context, st rollback.Status) (from []release, err error) {
	from = make([]release, len(s.Config.Distributions))
	for i, d := range s.Config.Distributions {
		r, ok := st.Committed[d.Name]
		switch {
		case ok && s.First:
			return nil, fmt.Errorf("%w: R3: %s %s is installed; leave --first-installation out", rollback.ErrRefused, d.Name, r.Version)
		case ok:
			if from[i], err = journaled(r); err != nil {
				return nil, fmt.Errorf("the journal has %s of %s as committed: %w", r.Version, d.Name, err)
			}
			continue
		case s.First && d.Probe.Installed == "":
			return nil, fmt.Errorf("%w: distribution %s: a first installation wants probe.installed: which path is there once it is installed?", ErrConfig, d.Name)
		case s.First:
			continue
		}
		if from[i], err = s.running(ctx, d); err != nil {
			return nil, err
		}
	}
	return from, nil
}

// running returns the Setup in the archive of the version that the probe
// finds.
func (s *Site) running(ctx context.Context, d distributionConfig) (release, error) {
	v, err := d.ask(ctx)
	_, unreadable := errors.AsType[*version.Error](err)
	switch {
	case unreadable:
		return release{}, fmt.Errorf("%s: %w", d.Name, err)
	case err != nil:
		return release{}, fmt.Errorf("%s: which version is installed? %w; if none is, say --first-installation", d.Name, err)
	case v.IsZero():
		return release{}, fmt.Errorf("%s: nothing is installed, %s is not there; say --first-installation", d.Name, d.Probe.Installed)
	}
	item, err := s.Archive().Get(archive.Key{Distribution: d.Name, Version: v, Variant: version.Setup})
	if err != nil {
		return release{}, fmt.Errorf("%w: %s %s (%w)", ErrPrevious, d.Name, v, err)
	}
	return archived(item), nil
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
func (s *Site) lay(from, to []release, live []string) (*Update, error) {
	steps, err := s.steps(from, to)
	if err != nil {
		return nil, err
	}
	u, err := s.update(steps)
	if err != nil {
		return nil, err
	}
	u.Live = append(u.Live, live...)
	return u, u.Check()
}

// steps lays out an update, unless everything is at its newest version.
func (s *Site) steps(from, to []release) ([]step, error) {
	var steps []step
	newer := false
	for i, d := range s.Config.Distributions {
		st := step{name: d.Name, from: from[i], to: to[i]}
		switch st.to.version.Compare(st.from.version) {
		case 1:
			newer = true
		case 0:
			st.to = st.from // also a re-release of what is installed: that is no update
		default:
			return nil, fmt.Errorf("%w: %s %s is installed, and the newest that fits is %s", ErrNothing, d.Name, st.from.version, st.to.version)
		}
		if s.First && st.to.SHA256 != "" {
			item, err := s.Archive().Get(archive.Key{Distribution: d.Name, Version: st.to.version, Variant: version.Setup})
			if err != nil {
				return nil, err
			}
			st.setup = archived(item)
		}
		steps = append(steps, st)
	}
	if !newer {
		return nil, fmt.Errorf("%w: version %s is installed and is the newest", ErrNothing, steps[0].to.version)
	}
	return steps, nil
}

// journaled fills in the roles of an update that the journal has.
func (s *Site) journaled(parts []rollback.PlanPart) (*Update, error) {
	steps, err := journaledSteps(parts)
	if err != nil {
		return nil, err
	}
	return s.update(steps)
}

// update fills in the roles of an update.
func (s *Site) update(steps []step) (*Update, error) {
	c := s.Config
	firstOfYear, err := crossesYear(steps)
	if err != nil {
		return nil, err
	}
	if len(steps) != len(c.Distributions) {
		return nil, fmt.Errorf("%w: the update has %d distributions, the configuration %d", ErrConfig, len(steps), len(c.Distributions))
	}
	u := &rollback.Update{
		Dir: c.State, Live: slices.Clone(c.Live), Kept: []string{c.Archive, c.Backups}, NoData: c.NoData,
		App: s.application(), Deadlines: c.Deadlines.deadlines(), Observe: s.Observe.Rollback,
	}
	s.protect(u)
	if u.Window, err = s.window(firstOfYear, u.Data); err != nil {
		return nil, err
	}
	for i, st := range steps {
		d := c.Distributions[i]
		if d.Name != st.name {
			return nil, fmt.Errorf("%w: the journal has %s where the configuration has %s", ErrConfig, st.name, d.Name)
		}
		installers := s.installers(d, st)
		if firstOfYear {
			if installers.Requirements, err = s.requirements(st.to.version); err != nil {
				return nil, err
			}
		}
		u.Parts = append(u.Parts, rollback.Part{
			Name: d.Name, From: st.from.Release, To: st.to.Release, Setup: st.setup.Release,
			Installer: installers.Role(), Probe: newProbe(d.Probe, s.Observe.Install),
		})
	}
	return &Update{u, firstOfYear}, nil
}
