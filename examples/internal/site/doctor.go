package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/install/service"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// A Finding is one result of [Site.Doctor].
type Finding struct {
	State string `json:"state"` // ok, warning or fix
	What  string `json:"what"`  // server, tls, space and so on
	Name  string `json:"name,omitempty"`
	Text  string `json:"text"`
	Err   error  `json:"-"` // of a fix: the error that an update would end with
}

// Doctor checks everything that an update will need, in the order in which an
// update does, and changes nothing.
func (s *Site) Doctor(ctx context.Context) []Finding {
	quiet := *s
	quiet.Observe = Observe{} // the findings have it
	d := &doctor{Site: &quiet}
	d.server(ctx)
	d.journal()
	d.versions(ctx)
	d.databases(ctx)
	d.programs()
	d.services(ctx)
	d.directories(ctx)
	d.space(ctx)
	d.clock()
	d.machine(ctx)
	return d.findings
}

type doctor struct {
	*Site
	st       rollback.Status
	findings []Finding
}

func (d *doctor) ok(what, name, format string, args ...any) {
	d.findings = append(d.findings, Finding{State: "ok", What: what, Name: name, Text: fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(what, name, format string, args ...any) {
	d.findings = append(d.findings, Finding{State: "warning", What: what, Name: name, Text: fmt.Sprintf(format, args...)})
}

// fix adds what must be repaired before an update.
func (d *doctor) fix(what, name string, err error) {
	d.findings = append(d.findings, Finding{State: "fix", What: what, Name: name, Text: err.Error(), Err: err})
}

// either adds a fix if there is an error, otherwise an ok.
func (d *doctor) either(err error, what, name, format string, args ...any) {
	if err != nil {
		d.fix(what, name, err)
		return
	}
	d.ok(what, name, format, args...)
}

// server finds the newest release of each distribution, which needs a
// connection, TLS and a login.
func (d *doctor) server(ctx context.Context) {
	c, source := d.Config.Server, d.Source()
	source.Retry.Attempts = 1 // a person is waiting
	switch {
	case source.TLS == ftp.TLSNone:
		d.warn("tls", "", "none: others on the network can read the password and replace the files; ask the vendor whether server.tls = \"explicit\" works")
	case c.TLSInsecure != "":
		d.warn("tls", "", "the certificate of the server is not checked, because: %s", c.TLSInsecure)
	}
	finder := d.finder()
	for i, dist := range d.Config.Distributions {
		found, err := finder.Find(ctx, source, dist.Name)
		if errors.Is(err, fetch.ErrUnreachable) {
			d.fix("server", c.Address, err)
			return
		}
		if i == 0 {
			d.ok("server", c.Address, "answers")
			if source.TLS != ftp.TLSNone && c.TLSInsecure == "" {
				d.ok("tls", "", "%s, and the certificate is trusted", c.TLS)
			}
		}
		if errors.Is(err, fetch.ErrCredentials) {
			d.fix("credentials", c.User, err)
			return
		}
		if i == 0 {
			d.ok("credentials", c.User, "accepted")
		}
		if err == nil && len(found.Releases) == 0 {
			d.warn("distribution", dist.Name, "no release can be installed; passed over: %v", found.Skipped)
			continue
		}
		d.either(err, "distribution", dist.Name, "%s", newestOf(found))
		if err == nil && !dist.vouches(found.Releases[0].Version, d.variant()) {
			d.fix("distribution", dist.Name, fmt.Errorf("%s is not vouched for: %w", found.Releases[0].Version, ErrNotVouched))
		}
		if dist.Unauthenticated != "" {
			d.warn("distribution", dist.Name, "files without a pinned hash are accepted, because: %s", dist.Unauthenticated)
		}
	}
}

func newestOf(f fetch.Found) string {
	if len(f.Releases) == 0 {
		return ""
	}
	return "the newest release is " + f.Releases[0].Version.String()
}

func (d *doctor) journal() {
	st, err := d.Status()
	if err == nil {
		d.st, err = st, st.Blocked()
	}
	d.either(err, "journal", "", "no update is pending")
}

// versions compares what is installed with the journal, and reads back the Setup
// that a rollback would install (R10).
func (d *doctor) versions(ctx context.Context) {
	for _, dist := range d.Config.Distributions {
		reported, err := newProbe(dist.Probe, nil).Version(ctx)
		switch {
		case err != nil:
			d.fix("application", dist.Name, err)
		case reported == "":
			d.warn("application", dist.Name, "not installed: %s does not exist; the first update needs --first-installation", dist.Probe.Installed)
		default:
			d.ok("application", dist.Name, "reports version %s", reported)
		}
		r, committed := d.st.Committed[dist.Name]
		if !committed {
			r.Version = reported
		}
		if r.Version == "" {
			continue
		}
		if committed && err == nil && reported != r.Version && d.st.Pending == nil { // a pending update may have installed it
			d.fix("application", dist.Name, &rollback.Error{Reason: rollback.ReasonInstalled,
				Err: fmt.Errorf("the journal has %s as committed, the application reports %q; use aspupdate adopt if it was installed by other means", r.Version, reported)})
		}
		d.previous(ctx, dist, r, committed)
	}
}

// previous reads back the Setup of the installed version, and checks whether
// this process has the rights that it needs.
func (d *doctor) previous(ctx context.Context, dist distributionConfig, installed rollback.Release, committed bool) {
	r, err := journaled(installed)
	var item archive.Item
	if err == nil {
		item, err = d.Archive().Get(r.key(dist.Name, version.Setup))
	}
	switch {
	case !errors.Is(err, archive.ErrNotFound):
	case committed: // an update checks this after the directories
		err = &rollback.Error{Reason: rollback.ReasonPrevious, Err: fmt.Errorf("R10: a rollback needs the Setup of the installed version: %w", err)}
	default:
		err = fmt.Errorf("%w: %w", ErrPrevious, err)
	}
	if err == nil {
		r = archived(item)
		err = d.installers(dist, step{from: r, to: r}).Role().Ready(ctx, r.Release)
	}
	rights := err
	if errors.Is(err, install.ErrPermission) {
		err = nil
	}
	d.either(err, "archive", dist.Name, "the Setup of %s is intact (R10)", r.Version)
	if err == nil {
		d.either(rights, "rights", dist.Name, "sufficient for its installer")
	}
}

// databases checks whether backups can be made.
func (d *doctor) databases(ctx context.Context) {
	for _, p := range d.Config.Postgres {
		server, dump, err := (&postgres.Database{URI: p.value()}).Versions(ctx)
		d.either(err, "postgres", p.Name, "PostgreSQL %s, the role has the rights that it needs, %s", server, dump)
	}
	for _, p := range slices.Concat(d.Config.SQLite, d.Config.Directories) {
		_, err := os.ReadDir(p.Path)
		if info, statErr := os.Stat(p.Path); statErr == nil && !info.IsDir() {
			var f *os.File
			if f, err = os.OpenFile(p.Path, os.O_RDWR, 0); err == nil {
				_ = f.Close()
			}
		}
		d.either(err, "data", p.Path, "can be read")
	}
}

// programs finds the programs of all commands.
func (d *doctor) programs() {
	app := d.Config.Application
	commands := [][]string{app.Close, app.Open, app.Stop, app.Start, d.Config.Watch.Command}
	for _, dist := range d.Config.Distributions {
		commands = append(commands, dist.Launcher, dist.Remove, dist.Probe.Command)
	}
	for _, c := range d.Config.Commands {
		commands = append(commands, c.Backup, c.Verify, c.Restore, c.Describe, c.List, c.Rename, c.Drop)
	}
	seen := map[string]bool{"": true}
	for _, argv := range commands {
		if len(argv) == 0 || seen[argv[0]] {
			continue
		}
		seen[argv[0]] = true
		path, err := exec.LookPath(argv[0])
		d.either(err, "program", argv[0], "%s", path)
	}
}

// services finds the services of the system that an update stops.
func (d *doctor) services(ctx context.Context) {
	for _, name := range slices.Concat(d.Config.Application.FenceServices, d.Config.Application.Services) {
		st, err := service.Query(ctx, name)
		if err == nil && !st.Exists {
			d.warn("service", name, "not found: correct its name in application, unless the installer creates it")
			continue
		}
		d.either(err, "service", name, "%s, autostart %s", st.State, st.Autostart)
	}
}

// directories checks whether the three directories can be written, and are
// outside the directories that an update replaces.
func (d *doctor) directories(ctx context.Context) {
	for _, dir := range []string{d.Config.State, d.Config.Archive, d.Config.Backups} {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			d.ok("directory", dir, "is created when it is first needed")
			continue
		}
		f, err := os.CreateTemp(dir, ".doctor-*")
		if err == nil {
			_ = f.Close()
			err = os.Remove(f.Name())
		}
		d.either(err, "directory", dir, "can be written")
	}
	u, err := d.sample()
	if err == nil {
		var live []string
		if live, err = d.databaseDirs(ctx); err == nil {
			u.Live = append(u.Live, live...)
			err = u.Check()
		}
	}
	d.either(err, "directories", "", "none is inside of what an update replaces")
}

// sample returns an update whose roles can be asked before there is an update:
// from and to the largest Setup in the archive.
func (d *doctor) sample() (*Update, error) {
	items, _ := d.Archive().List() // versions reports what cannot be read
	var steps []step
	for _, dist := range d.Config.Distributions {
		largest, size := offered(fetch.Release{Version: version.MustParse("7.01.100")}), int64(0)
		for _, it := range items {
			if it.Distribution == dist.Name && it.Variant == version.Setup && it.Size > size {
				largest, size = archived(it), it.Size
			}
		}
		steps = append(steps, step{name: dist.Name, from: largest, to: largest})
	}
	return d.update(steps)
}

// space compares the space that an update needs with what is free, on each
// volume.
func (d *doctor) space(ctx context.Context) {
	var needs []rollback.Need
	u, err := d.sample()
	if err == nil {
		needs, err = u.Needs(ctx)
	}
	if err != nil {
		d.fix("space", "", err)
	}
	for _, dir := range []string{d.Config.State, d.Config.Archive, d.Config.Backups} {
		needs = append(needs, rollback.Need{Path: dir}) // also volumes that an update does not write to
	}
	seen := map[string]bool{}
	for _, n := range needs {
		free, volume, err := rollback.FreeSpace(n.Path)
		if err == nil && seen[volume] {
			continue
		}
		seen[volume] = true
		text := ""
		if n.Bytes > 0 {
			text = fmt.Sprintf(", an update needs %d MB (%s)", n.Bytes>>20+1, n.For)
		}
		d.either(err, "space", n.Path, "%d MB free%s", free>>20, text)
	}
}

// clock checks whether the clock can be correct: the support hours (R13) depend
// on it.
func (d *doctor) clock() {
	now, show := time.Now(), d.Config.Clock()
	const tolerance = 5 * time.Minute
	st, _ := d.Status()
	switch synchronized, known := clockSynchronized(); {
	case st.Written.After(now.Add(tolerance)):
		d.fix("clock", "", fmt.Errorf("%s is before the last record of the journal, %s: correct the clock", show.Time(now), show.Time(st.Written)))
	case known && !synchronized:
		d.warn("clock", "", "%s; not synchronized with a time server", show.Time(now))
	default:
		d.ok("clock", "", "%s", show.Time(now))
	}
	if w := d.Config.Calendar.days.Warning(now); w != "" {
		d.warn("calendar", "", "%s", w)
	} else {
		d.ok("calendar", "", "days off are known until %s", d.Config.Calendar.days.Last())
	}
}

// machine checks whether the machine is ready for an installer.
func (d *doctor) machine(ctx context.Context) {
	if err := install.NoRebootPending().Run(ctx); err != nil {
		d.warn("restart", "", "%v", err)
	} else {
		d.ok("restart", "", "none is pending")
	}
}
