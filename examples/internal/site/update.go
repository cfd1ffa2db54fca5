package site

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// An Update is an update of the site with its roles.
type Update struct {
	*rollback.Update
	FirstOfYear bool     // R14: it crosses a new year
	Databases   Patterns // with what they matched when it was planned
	Unfenced    []string // names, or patterns, of the databases that keep users out only for their snapshot
	NoClone     []string // and of those that are backed up by a dump alone

	same func(context.Context) error // see Run
}

// Run is [rollback.Update.Run]. It refuses if a pattern matches other databases than when
// the update was planned.
func (u *Update) Run(ctx context.Context, plan rollback.Plan) (rollback.Result, error) {
	if u.same != nil {
		if err := u.same(ctx); err != nil {
			return rollback.Result{Outcome: rollback.Nothing}, err
		}
	}
	return u.Update.Run(ctx, plan)
}

// Next returns the next update: from the installed version to the newest release
// on the server, whose installers must be in the archive. It writes nothing. The
// error wraps [ErrNothing] if that release is installed, and is a
// [*rollback.Error] if an update is pending.
func (s *Site) Next(ctx context.Context) (*Update, error) {
	return s.next(ctx, true, s.inArchive)
}

// FetchNext is like Next, but fetches the installers into the archive first.
func (s *Site) FetchNext(ctx context.Context) (*Update, error) {
	if err := s.stopProof(ctx); err != nil {
		return nil, err
	}
	if s.Offline {
		return s.next(ctx, false, s.inArchive)
	}
	return s.next(ctx, false, s.fetched)
}

func (s *Site) next(ctx context.Context, planning bool, get func(context.Context, []fetch.Release) ([]release, error)) (*Update, error) {
	st, err := s.Status()
	if err != nil {
		return nil, err
	}
	if err := s.blocked(st); err != nil {
		return nil, err
	}
	from, err := s.installed(ctx, st)
	if err != nil {
		return nil, err
	}
	configured := s
	if s, err = s.resolved(ctx); err != nil {
		return nil, err
	}
	live, err := s.databaseDirs(ctx)
	if err != nil {
		return nil, err
	}
	var u *Update
	s, missing := s.watchingJoint()
	f := s.finder()
	if planning { // a plan remembers nothing, and what is in the archive has settled
		f.Settle = -1
	}
	err = s.withNewest(ctx, f, func(newest []fetch.Release) (err error) {
		to := make([]release, len(newest))
		for i := range newest {
			to[i] = offered(newest[i])
		}
		// Before anything is fetched: there may be nothing to do, or the
		// archive may be in a directory that the update replaces.
		if _, err := s.between(from, to, live); err != nil {
			return err
		}
		if to, err = get(ctx, newest); err != nil {
			return err
		}
		u, err = s.between(from, to, live)
		return err
	})
	if !s.Offline && (errors.Is(err, ErrNothing) || errors.Is(err, fetch.ErrUnreachable)) {
		err = s.newerInArchive(err, from)
	}
	if errors.Is(err, ErrNothing) {
		err = cmp.Or(incomplete(*missing, from), err)
	}
	switch {
	case err == nil && planning:
		s.warnUntested()
	case err == nil:
		err = s.feasible(ctx)
		u.same = func(ctx context.Context) error { return configured.same(ctx, u.Databases) }
		u.Fence = sameBehind(u.Fence, u.same)
	}
	return u, err
}

// feasible fails if the backup of a database could not be made or restored, or if IIS lacks an
// application pool that the update stops. It is asked while users are still in, and makes and drops a role of the
// server, as a plan must not.
func (s *Site) feasible(ctx context.Context) error {
	for _, pool := range s.pools(s.First) {
		if _, err := pool.exists(ctx); err != nil {
			return fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	for _, p := range s.Config.Postgres {
		if !s.takesPart(p.names().data(), p.exists) {
			continue
		}
		if _, _, err := (&postgres.Database{URI: p.value()}).Versions(ctx); err != nil {
			return err
		}
	}
	for _, p := range s.Config.MSSQL {
		if !s.takesPart(p.names().data(), p.exists) {
			continue
		}
		if _, err := s.ready(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// watchingJoint returns a copy of the site, and what the newest number lacks that
// a search of the copy finds (R4).
func (s *Site) watchingJoint() (*Site, *[]fetch.Missing) {
	var missing []fetch.Missing
	watching, observe := *s, s.Observe.Find
	watching.Observe.Find = func(e fetch.Event) {
		if e.Kind == fetch.EventIncomplete {
			missing = e.Missing
		}
		if observe != nil {
			observe(e)
		}
	}
	return &watching, &missing
}

// incomplete returns an error if a newer number than the installed one is there,
// which not all distributions have: then there is something to wait for.
func incomplete(missing []fetch.Missing, installed []release) error {
	for _, m := range missing {
		for _, r := range installed {
			if m.Version.Compare(r.version) > 0 {
				return &fetch.Error{Op: "find", Err: fetch.ErrIncomplete, Missing: missing, Next: "check again later"}
			}
		}
	}
	return nil
}

// Pending returns the update that the journal has as pending, nil if there is
// none. [rollback.Update.Recover] finishes it at any time of day.
func (s *Site) Pending() (*Update, error) {
	st, err := s.Status()
	if err != nil || st.Pending == nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.stopProof(ctx); err != nil && s.Observe.Warn != nil {
		s.Observe.Warn("a proof of backups does not end: " + err.Error()) // users are kept out: it is not waited for any longer
	}
	pending := *s.planned(st.Pending.Plan.Data)
	// The server may have another version since: what is pending is finished with it.
	for _, c := range servers(pending.Config.MSSQL) {
		if err := s.testAgain(c); err != nil && s.Observe.Warn != nil {
			s.Observe.Warn(c.names().block() + ": " + err.Error())
		}
	}
	pending.AnyTime = "a pending update is finished at any time" // R13 is about its start
	pending.data = firstData(st.Pending.Plan)
	u, err := pending.journaled(st.Pending.Plan.Parts)
	if err != nil {
		return nil, unfinished(*st.Pending, err)
	}
	return u, nil
}

// Revert returns the update that goes back to the restore point of the journal,
// for [rollback.Update.PlanRevert] and [rollback.Update.Revert] (R15). The error
// wraps [ErrNothing] if there is none.
func (s *Site) Revert(ctx context.Context) (*Update, error) {
	st, err := s.Status()
	if err == nil {
		err = s.blocked(st)
	}
	switch {
	case err != nil:
		return nil, err
	case st.RestorePoint == nil:
		return nil, fmt.Errorf("%w: no update was committed that can be rolled back (R15)", ErrNothing)
	}
	s = s.planned(slices.Sorted(maps.Keys(st.RestorePoint.Refs)))
	for _, c := range s.Config.MSSQL {
		if _, err := s.ready(ctx, c); err != nil {
			return nil, err
		}
	}
	u, err := s.journaled(st.RestorePoint.Parts)
	if err != nil {
		return nil, err
	}
	live, err := s.databaseDirs(ctx)
	u.Live = append(u.Live, live...)
	return u, err
}

// Adopt records the versions that the probes report as those to update from.
// The error wraps [ErrPrevious] if one of their Setups is neither in the archive nor
// among setups, as for [Site.Accept].
func (s *Site) Adopt(ctx context.Context, reason string, setups []string) error {
	s, err := s.resolved(ctx)
	if err != nil {
		return err
	}
	files, err := s.given(setups)
	if err != nil {
		return err
	}
	var steps []step
	for _, d := range s.Config.Distributions {
		r, err := s.running(ctx, d, files[d.Name])
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

// Lift ends the quarantine of a release that was rolled back. The error wraps
// [ErrNothing] if no release of this version is in quarantine.
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

// Forget gives up the snapshots that an operator's rollback kept aside.
func (s *Site) Forget(update, reason string) error { return s.journal().Forget(update, reason) }

// journal returns an update for decisions that need no role.
func (s *Site) journal() *rollback.Update {
	return &rollback.Update{Dir: s.Config.State, Kept: s.Config.kept(), Observe: s.Observe.Rollback}
}

// installed returns what each distribution is updated from: the release that the
// journal has as committed, or without one the archived release of the version
// that the probe reports.
func (s *Site) installed(ctx context.Context, st rollback.Status) (from []release, err error) {
	from = make([]release, len(s.Config.Distributions))
	for i, d := range s.Config.Distributions {
		r, ok := st.Committed[d.Name]
		switch {
		case ok && s.First:
			return nil, fmt.Errorf("%w: R3: %s %s is installed; omit --first-installation", rollback.ErrRefused, d.Name, r.Version)
		case ok:
			if from[i], err = journaled(r); err != nil {
				return nil, fmt.Errorf("the journal has %s of %s as committed: %w", r.Version, d.Name, err)
			}
			continue
		case s.First && d.Probe.Installed == "":
			return nil, fmt.Errorf("%w: distribution %s: a first installation needs probe.installed, a path that exists once it is installed", ErrConfig, d.Name)
		case s.First:
			continue
		}
		if from[i], err = s.running(ctx, d, ""); err != nil {
			return nil, err
		}
	}
	return from, nil
}

// running returns the archived Setup of the version that the probe reports. File, unless it
// is "", is archived first.
func (s *Site) running(ctx context.Context, d distributionConfig, file string) (release, error) {
	v, err := d.ask(ctx)
	_, unreadable := errors.AsType[*version.Error](err)
	switch {
	case unreadable:
		return release{}, fmt.Errorf("%s: %w", d.Name, err)
	case err != nil:
		return release{}, fmt.Errorf("%s: the installed version is unknown: %w; if none is installed, use --first-installation", d.Name, err)
	case v.IsZero():
		return release{}, fmt.Errorf("%s: nothing is installed: %s does not exist; use --first-installation", d.Name, d.Probe.Installed)
	case file != "":
		item, err := s.archive(ctx, d, v, "", file)
		return archived(item), err
	}
	item, err := s.Archive().Get(archive.Key{Distribution: d.Name, Version: v, Variant: version.Setup})
	if errors.Is(err, archive.ErrNotFound) {
		return release{}, fmt.Errorf("%w: %s %s (%w)", ErrPrevious, d.Name, v, err)
	}
	if err != nil {
		return release{}, err
	}
	return archived(item), nil
}

// databaseDirs returns the directories of database servers on this machine.
func (s *Site) databaseDirs(ctx context.Context) ([]string, error) {
	var dirs []string
	for _, p := range servers(s.Config.Postgres) {
		dir, err := (&postgres.Database{URI: p.value()}).DataDir(ctx)
		if err != nil {
			return nil, fmt.Errorf("postgres %s: cannot find the directory of the server: %w", p.Name, err)
		}
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	for _, p := range s.Config.MSSQL {
		of, err := p.dirs(ctx)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // FullSetup may make it
			return nil, fmt.Errorf("mssql %s: cannot find the directory of the server: %w", p.Name, err)
		}
		dirs = append(dirs, of...)
	}
	return dirs, nil
}

// between returns the update between two states, and checks what can be checked
// without its roles.
func (s *Site) between(from, to []release, live []string) (*Update, error) {
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

// steps returns the steps from what is installed to the newest releases. The
// error wraps [ErrNothing] if none of them is newer.
func (s *Site) steps(from, to []release) ([]step, error) {
	var steps []step
	newer := false
	for i, d := range s.Config.Distributions {
		st := step{name: d.Name, from: from[i], to: to[i]}
		switch st.to.version.Compare(st.from.version) {
		case 1:
			newer = true
		case 0:
			st.to = st.from // a re-release of what is installed is not an update
		default:
			return nil, fmt.Errorf("%w: %s %s is installed, and the newest that can be installed is %s", ErrNothing, d.Name, st.from.version, st.to.version)
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

// journaled returns an update of the journal with its roles.
func (s *Site) journaled(parts []rollback.PlanPart) (*Update, error) {
	steps, err := journaledSteps(parts)
	if err != nil {
		return nil, err
	}
	return s.update(steps)
}

// update returns the update of these steps with its roles.
func (s *Site) update(steps []step) (*Update, error) {
	c := s.Config
	firstOfYear, err := crossesYear(c.Calendar.numbering, steps)
	if err != nil {
		return nil, err
	}
	if len(steps) != len(c.Distributions) {
		return nil, fmt.Errorf("%w: the update has %d distributions, the configuration %d", ErrConfig, len(steps), len(c.Distributions))
	}
	first := !slices.ContainsFunc(steps, func(st step) bool { return !st.from.version.IsZero() })
	u := &rollback.Update{
		Dir: c.State, Live: slices.Clone(c.Live), Kept: c.kept(), NoData: c.NoData,
		Unproven: cmp.Or(s.Unproven, c.Unproven), App: s.application(first), Parallel: c.Parallel, Deadlines: c.Deadlines.deadlines(), Steady: c.steady(), Observe: s.Observe.Rollback,
	}
	s.protect(u)
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
			Installer: installers.Role(), Probe: newProbe(d.Probe.planned(c), s.Observe.Install),
			Migrations: s.migrations(d, u.Data),
		})
	}
	if u.Window, err = s.window(firstOfYear, u); err != nil {
		return nil, err
	}
	return &Update{Update: u, FirstOfYear: firstOfYear, Databases: s.patterns, Unfenced: c.unfenced(), NoClone: c.withoutClone()}, nil
}
