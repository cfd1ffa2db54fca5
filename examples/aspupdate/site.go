package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	_ "modernc.org/sqlite" // the driver of [[sqlite]]

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

var (
	errNothing  = errors.New("nothing to do")
	errPrevious = errors.New("R10: the installed version's Setup is needed for the way back")

	errNotFetched = errors.New("it is on the server and not in the archive yet: fetch it first")
)

// A site is an installation as its config describes it: the packages, filled
// in.
type site struct {
	conf    *config
	show    *printer
	source  fetch.FTP
	archive fetch.Archive
	store   *backup.Store
	runner  install.Runner
	first   bool // R3: a first installation
}

func newSite(c *config, show *printer, first bool) *site {
	tls := map[string]fetch.TLS{"": fetch.TLSNone, "none": fetch.TLSNone, "explicit": fetch.TLSExplicit, "implicit": fetch.TLSImplicit}
	return &site{
		conf: c, show: show, first: first,
		source: fetch.FTP{
			Addr: c.Server.Address, User: c.Server.User, Password: c.Server.value,
			TLS: tls[c.Server.TLS], TLSConfig: c.Server.trust, Observe: show.fetch,
		},
		archive: fetch.Archive{Dir: c.Archive, Observe: show.fetch},
		store:   &backup.Store{Dir: c.Backups},
		runner:  install.Runner{State: filepath.Join(c.State, "install"), Observe: show.install},
	}
}

// installed returns what each distribution is updated from: what the journal
// has as committed, or, where we have never updated it, what the probe finds
// and the archive holds.
func (s *site) installed(ctx context.Context, st rollback.Status) ([]rollback.Release, error) {
	from := make([]rollback.Release, len(s.conf.Distributions))
	for i, d := range s.conf.Distributions {
		r, ok := st.Committed[d.Name]
		switch {
		case ok && s.first:
			return nil, fmt.Errorf("%w: R3: %s %s is installed; leave --first-installation out", rollback.ErrRefused, d.Name, r.Version)
		case ok:
			from[i] = r
			continue
		case s.first && d.Probe.Installed == "":
			return nil, fmt.Errorf("%w: distribution %s: a first installation wants probe.installed: which path is there once it is installed?", errConfig, d.Name)
		case s.first:
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
func (s *site) running(ctx context.Context, d distributionConfig) (rollback.Release, error) {
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
	item, err := s.archive.Get(fetch.Key{Distribution: d.Name, Version: v, Variant: version.Setup})
	if err != nil {
		return rollback.Release{}, fmt.Errorf("%w: %s %s (%w)", errPrevious, d.Name, v, err)
	}
	return release(item), nil
}

// serverFolders returns the folders of database servers on this machine.
func (s *site) serverFolders(ctx context.Context) ([]string, error) {
	var dirs []string
	for _, p := range s.conf.Postgres {
		dir, err := (&postgres.Database{URI: p.value}).Folder(ctx)
		if err != nil {
			return nil, fmt.Errorf("postgres %s: where are the server's files? %w", p.Name, err)
		}
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

// newest looks on the server for what to install: one release, or the newest
// number that a bundle has whole (R4).
func (s *site) newest(ctx context.Context) ([]fetch.Release, error) {
	s.insecure()
	f := s.finder()
	var bundle []fetch.Wanted
	for _, d := range s.conf.Distributions {
		bundle = append(bundle, fetch.Wanted{Distribution: d.Name, Variant: s.variant()})
	}
	if len(bundle) == 1 {
		r, err := f.Latest(ctx, s.source, bundle[0].Distribution, bundle[0].Variant)
		return []fetch.Release{r}, err
	}
	return f.Joint(ctx, s.source, bundle, fetch.SameNumber)
}

func (s *site) finder() fetch.Finder {
	return fetch.Finder{
		Layout: fetch.Layout{Root: s.conf.Server.Root}, Betas: s.conf.Server.Betas,
		Settle: time.Duration(s.conf.Server.Settle), Observe: s.show.fetch,
	}
}

// insecure says so at each run.
func (s *site) insecure() {
	if s.conf.Server.TLSInsecure != "" {
		s.show.line("INSECURE, the server's certificate is not checked, because: %s", s.conf.Server.TLSInsecure)
	}
}

func (s *site) variant() version.Variant {
	if s.first {
		return version.FullSetup
	}
	return version.Setup
}

// fetchAll brings what newest found into the archive.
func (s *site) fetchAll(ctx context.Context, found []fetch.Release) ([]rollback.Release, error) {
	to := make([]rollback.Release, len(found))
	for i, d := range s.conf.Distributions {
		item, err := s.archive.Fetch(ctx, s.source, found[i], s.variant(), verifier(d, s.source))
		if err != nil {
			return nil, err
		}
		to[i] = release(item)
	}
	return to, nil
}

// archived returns what newest found as it lies in the archive.
func (s *site) archived(found []fetch.Release) ([]rollback.Release, error) {
	to := make([]rollback.Release, len(found))
	for i, d := range s.conf.Distributions {
		item, err := s.archive.Get(fetch.Key{Distribution: d.Name, Version: found[i].Version, Variant: s.variant()})
		if errors.Is(err, fetch.ErrNotArchived) {
			err = fmt.Errorf("%s %s: %w", d.Name, found[i].Version, errNotFetched)
		}
		if err != nil {
			return nil, err
		}
		to[i] = release(item)
	}
	return to, nil
}

func release(item fetch.Item) rollback.Release {
	r := rollback.Release{Version: item.Version.String(), SHA256: item.SHA256}
	if item.Vouched.Authenticated {
		r.VouchedBy = item.Vouched.By
	}
	return r
}

// parts lays out an update, unless everything is at its newest version.
func (s *site) parts(from, to []rollback.Release) ([]rollback.PlanPart, error) {
	var parts []rollback.PlanPart
	newer := false
	for i, d := range s.conf.Distributions {
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
			return nil, fmt.Errorf("%w: %s %s is installed, and the newest that fits is %s", errNothing, d.Name, old, next)
		}
		part := rollback.PlanPart{Name: d.Name, From: from[i], To: to[i]}
		if s.first && to[i].SHA256 != "" {
			item, err := s.archive.Get(fetch.Key{Distribution: d.Name, Version: next, Variant: version.Setup})
			if err != nil {
				return nil, err
			}
			part.Setup = release(item)
		}
		parts = append(parts, part)
	}
	if !newer {
		return nil, fmt.Errorf("%w: version %s is installed and is the newest", errNothing, to[0].Version)
	}
	return parts, nil
}

// update fills in the roles.
func (s *site) update(parts []rollback.PlanPart) (*rollback.Update, error) {
	c := s.conf
	u := &rollback.Update{
		Dir: c.State, Fence: rollback.NoFence(c.Application.NoFence),
		NoData: c.NoData,
		Live:   slices.Clone(c.Live), Kept: []string{c.Archive, c.Backups},
		Deadlines: rollback.Deadlines{
			Fence: time.Duration(c.Deadlines.Fence), Snapshot: time.Duration(c.Deadlines.Snapshot), Install: time.Duration(c.Deadlines.Install),
			Probe: time.Duration(c.Deadlines.Probe), Restore: time.Duration(c.Deadlines.Restore), Decide: time.Duration(c.Deadlines.Decide),
		},
		Observe: s.show.rollback,
	}
	if len(c.Application.Stop)+len(c.Application.Services) > 0 {
		u.App = application{c.Application, s.services(c.Application.Services)}
	}
	f := fence{app: c.Application, services: s.services(c.Application.FenceServices)}
	add := func(name string, t backup.Target) {
		u.Data = append(u.Data, rollback.Dataset{Name: name, Data: data{s.store, name, t}})
	}
	for _, p := range c.Postgres {
		db, name := &postgres.Database{URI: p.value, Checksums: true}, "postgres "+p.Name
		if p.Unfenced != "" {
			f.unfenced = append(f.unfenced, db)
			u.Data = append(u.Data, rollback.Dataset{Name: name, Data: unfenced{data{s.store, name, db}, db}})
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
		add("folder "+p.Path, &files.Folder{Path: p.Path})
		u.Live = append(u.Live, p.Path)
	}
	for _, p := range c.Commands {
		add("command "+filepath.Base(p.Live), p.target())
		if len(p.List) == 0 {
			u.Live = append(u.Live, filepath.Dir(p.Live))
		}
	}
	if c.Application.NoFence == "" {
		u.Fence = f
	}
	firstOfYear, err := crossesYear(parts)
	if err != nil {
		return nil, err
	}
	u.Window = c.Window.window(firstOfYear, c.Calendar.days)
	if len(parts) != len(c.Distributions) {
		return nil, fmt.Errorf("%w: the update has %d distributions, the configuration %d", errConfig, len(parts), len(c.Distributions))
	}
	for i, p := range parts {
		d := c.Distributions[i]
		if d.Name != p.Name {
			return nil, fmt.Errorf("%w: the journal has %s where the configuration has %s", errConfig, p.Name, d.Name)
		}
		inst := installer{conf: d, archive: s.archive, runner: s.runner, first: p.From.Version == "", limit: u.Deadlines.Install, to: p.To}
		if firstOfYear {
			if inst.requirements, err = s.requirements(p.To.Version); err != nil {
				return nil, err
			}
		}
		part := rollback.Part{Name: p.Name, From: p.From, To: p.To, Setup: p.Setup, Installer: inst, Probe: newProbe(d.Probe, s.show.install)}
		if inst.removes(p.To) {
			part.Installer = remover{inst}
		}
		u.Parts = append(u.Parts, part)
	}
	return u, nil
}
