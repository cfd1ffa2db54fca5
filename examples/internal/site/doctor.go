package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/examples/internal/strict"
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
	quiet.Observe, quiet.source = Observe{}, nil // the findings have it
	d := &doctor{Site: &quiet}
	d.server(ctx)
	d.journal()
	d.fence(ctx)
	d.versions(ctx)
	d.patterns(ctx)
	d.installerKinds(ctx)
	d.databases(ctx)
	d.programs(ctx)
	d.services(ctx)
	d.unseen()
	d.iisPools(ctx)
	d.iisEntrance()
	d.directories(ctx)
	d.space(ctx)
	d.clock()
	d.times()
	d.machine(ctx)
	return d.gathered()
}

type doctor struct {
	*Site
	st       rollback.Status
	fresh    bool  // nothing is installed yet
	unknown  error // why it is not known which databases there are
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
	c, source := d.Config.Server, d.ftpServer()
	source.Retry.Attempts = 1 // a person is waiting
	secure := source.TLS != ftp.TLSNone && c.TLSInsecure == ""
	if d.source = func() fetch.Source { return source }; c.Directory != "" {
		c.Address, c.User, d.source = c.Directory, "", nil
	} else if c.URL != "" {
		c.Address, c.TLS, d.source = c.URL, "https", nil
		secure, source.TLS = c.TLSInsecure == "", ftp.TLSImplicit
	}
	switch {
	case c.Directory != "":
	case source.TLS == ftp.TLSNone:
		d.warn("tls", "", "none: others on the network can read the password and replace the files; ask the vendor whether server.tls = \"explicit\" works")
	case c.TLSInsecure != "":
		d.warn("tls", "", "the certificate of the server is not checked, because: %s", c.TLSInsecure)
	}
	finder := d.finder()
	for i, dist := range d.Config.Distributions {
		found, err := finder.Find(ctx, d.Source(), dist.Name)
		if errors.Is(err, fetch.ErrUnreachable) {
			d.fix("server", c.Address, err)
			return
		}
		if i == 0 {
			d.ok("server", c.Address, "answers")
			if secure && c.Directory == "" {
				d.ok("tls", "", "%s, and the certificate is trusted", c.TLS)
			}
		}
		if errors.Is(err, fetch.ErrCredentials) {
			d.fix("credentials", c.User, err)
			return
		}
		if i == 0 && c.Directory == "" {
			d.ok("credentials", c.User, "accepted")
		}
		if found.Clock != "" {
			d.warn("clock", dist.Name, "the server's clock is %s; correct this machine's if that is the wrong one", found.Clock)
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
		d.st, err = st, d.blocked(st)
	}
	d.either(err, "journal", "", "no update is pending")
}

// fence checks whether users are kept out for nothing, and whether nginx would keep them out.
func (d *doctor) fence(ctx context.Context) {
	if n := d.nginx(); n.on() {
		d.either(n.accepted(ctx), "fence", "nginx", "accepts %s", n.Include)
	}
	parts, err := d.Fence(ctx)
	if err != nil {
		d.fix("fence", "", err)
		return
	}
	for _, p := range parts {
		switch {
		case p.State != "unknown":
			d.ok("fence", p.Name, "%s", p.State)
		case p.Name == commandsName("application.close", d.Config.Application.Close) && len(d.Config.Application.FenceStatus) > 0:
			d.fix("fence", p.Name, fmt.Errorf("application.fence_status does not report whether users are in: %s", p.Detail))
		case strings.HasPrefix(p.Name, "application."):
			d.warn("fence", p.Name, "whether users are in is unknown: give application.fence_status")
		case p.Detail != "":
			d.ok("fence", p.Name, "%s", p.Detail)
		}
	}
}

// versions compares what is installed with the journal, and reads back the Setup
// that a rollback would install (R10).
func (d *doctor) versions(ctx context.Context) {
	for _, dist := range d.Config.Distributions {
		reported, err := newProbe(dist.Probe, nil).Version(ctx)
		_, invalid := parseOrZero(reported)
		switch {
		case err != nil:
			d.fix("application", dist.Name, err)
		case invalid != nil:
			err = fmt.Errorf("the probe reports %q in its first line: %w; point it at the version alone", reported, invalid)
			d.fix("application", dist.Name, err)
		case reported == "":
			d.fresh, d.First = true, true // for what follows
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

// installerKinds detects the kind of each archived installer, as an update does
// before it runs one.
func (d *doctor) installerKinds(ctx context.Context) {
	items, _ := d.Archive().List() // versions reports what cannot be read
	for _, dist := range d.Config.Distributions {
		if dist.kind() != install.Auto {
			continue
		}
		for _, it := range items {
			if it.Distribution != dist.Name {
				continue
			}
			name := fmt.Sprintf("%s %s %s", it.Distribution, it.Version, it.Variant)
			if it.Parts == nil && strings.EqualFold(filepath.Ext(it.Path), ".zip") {
				cmd := d.installers(dist, step{}).Command
				cmd.Path, cmd.Unelevated = it.Path, true // rights are a finding of their own
				d.either(d.runner().Ready(ctx, cmd), "installer", name, "%s in the zip archive can be run", dist.Entry)
				continue
			}
			file, err := it.Entry(dist.Entry)
			var kind install.Kind
			if err == nil {
				kind, err = install.Detect(file)
			}
			if err == nil && kind == install.Plain && len(dist.Arguments) == 0 {
				err = errors.New("a program whose silent arguments are not known: set distribution.arguments to those that make it run unattended")
			}
			if err == nil { // of this system, and for these processors
				cmd := d.installers(dist, step{}).Command
				cmd.Path, cmd.Entry, cmd.Unelevated = file, "", true
				err = d.runner().Ready(ctx, cmd)
			}
			d.either(err, "installer", name, "kind %s", kind)
		}
	}
}

// resolve replaces the patterns by the databases that the servers have now.
func (d *doctor) resolve(ctx context.Context) error {
	d.Site, d.unknown = d.resolved(ctx)
	return d.unknown
}

// patterns shows what the patterns match now.
func (d *doctor) patterns(ctx context.Context) {
	if err := d.resolve(ctx); err != nil {
		d.fix("databases", "", err)
	}
	for _, p := range d.Site.patterns {
		d.ok("databases", p.Name, "%d: %s", len(p.Data), p.Names())
	}
}

// databases checks whether backups can be made.
func (d *doctor) databases(ctx context.Context) {
	for _, p := range d.Config.Postgres {
		if d.fresh && !p.exists(ctx) {
			d.warn("postgres", p.Name, "does not exist yet: FullSetup must create it")
			continue
		}
		server, dump, err := (&postgres.Database{URI: p.value()}).Versions(ctx)
		d.either(err, "postgres", p.Name, "PostgreSQL %s, the role has the rights that it needs, %s", server, dump)
	}
	for _, p := range d.Config.MSSQL {
		if d.fresh && !p.exists(ctx) {
			d.warn("mssql", p.Name, "does not exist yet: FullSetup must create it")
			continue
		}
		server, err := d.ready(ctx, p)
		d.either(err, "mssql", p.Name, "%s, the self-test has passed there, the login has the rights that it needs", server)
	}
	for _, p := range slices.Concat(d.Config.SQLite, d.Config.Directories) {
		if d.fresh && !there(p.Path)(ctx) {
			d.warn("data", p.Path, "does not exist yet: FullSetup must create it")
			continue
		}
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

// gathered returns the findings. Those that say the same of the databases of one pattern, and need
// nothing, are one.
func (d *doctor) gathered() (list []Finding) {
	said := map[Finding]bool{}
	for _, f := range d.findings {
		again := false
		for _, data := range []string{f.Name, f.What + " " + f.Name} {
			if p, ok := d.Site.patterns.Of(data); ok && f.State == "ok" {
				f.Name = strings.TrimPrefix(p.Name, strings.TrimSuffix(data, f.Name))
				again, said[f] = said[f], true
				break
			}
		}
		if !again {
			list = append(list, f)
		}
	}
	return list
}

// programs finds the programs of all commands, and those that another account
// can change, this one included.
func (d *doctor) programs(ctx context.Context) {
	app := d.Config.Application
	commands := [][]string{app.Close, app.Open, app.FenceStatus, app.Stop, app.Start, app.Status, d.Config.Notify.Command, d.Config.Announce.Command, app.Nginx.Test, app.Nginx.Reload}
	if app.IIS.on() || len(app.IIS.Pools) > 0 {
		commands = append(commands, []string{app.IIS.program()})
	}
	for _, dist := range d.Config.Distributions {
		commands = append(commands, dist.Launcher, dist.Remove, dist.Probe.Command)
		for _, m := range dist.Migrate {
			commands = append(commands, m.Command, m.Structure)
		}
	}
	for _, c := range d.Config.Commands {
		commands = append(commands, c.Backup, c.Verify, c.Restore, c.Describe, c.List, c.Rename, c.Drop)
	}
	seen := map[string]bool{"": true}
	for _, argv := range commands {
		for i, arg := range argv {
			if seen[arg] || i > 0 && !script(arg) {
				continue
			}
			seen[arg] = true
			path, err := exec.LookPath(arg)
			if i > 0 {
				path, err = arg, nil
			}
			if err == nil {
				err = install.Private(path, false).Run(ctx)
			}
			d.either(err, "program", arg, "%s", path)
		}
	}
	self, err := os.Executable()
	if err == nil {
		err = install.Private(self, false).Run(ctx)
	}
	d.either(err, "program", "", "no other account can change %s", self)
}

// script reports whether an argument is a program that the one before it may run, as in
// python3 /opt/asp/close.py.
func script(arg string) bool {
	if fi, err := os.Stat(arg); err != nil || !filepath.IsAbs(arg) || !fi.Mode().IsRegular() {
		return false
	}
	known := []string{".sh", ".py", ".pl", ".rb", ".js", ".php", ".jar", ".exe", ".bat", ".cmd", ".ps1", ".vbs"}
	return slices.Contains(known, strings.ToLower(filepath.Ext(arg)))
}

// services finds the services of the system that an update stops.
func (d *doctor) services(ctx context.Context) {
	for _, name := range slices.Concat(d.Config.Application.FenceServices, d.Config.Application.Services) {
		st, err := service.Query(ctx, name)
		if err == nil && !st.Exists {
			d.warn("service", name, "not found: correct its name in application, unless the installer creates it")
			continue
		}
		if err == nil && st.Running && autostartOff(st) {
			d.warn("service", name, "%s, autostart %s: it does not start with the machine", st.State, st.Autostart)
			continue
		}
		d.either(err, "service", name, "%s, autostart %s", st.State, st.Autostart)
	}
}

// unseen names what no one would see, because a key is missing.
func (d *doctor) unseen() {
	if app := d.Config.Application; len(app.Stop) > 0 && len(app.Status) == 0 {
		d.warn("application", "status", "without application.status an application that ends while an update waits for it is found only at the deadline, with users kept out: give it")
	}
	for _, c := range d.Config.Commands {
		if len(c.Describe) == 0 {
			d.warn("command", c.Live, "without describe it is not found that the Setup of a rollback has changed this data: give it")
		}
	}
}

// directories checks whether the three directories can be written by this
// account alone, and are
// outside the directories that an update replaces.
func (d *doctor) directories(ctx context.Context) {
	for _, dir := range []string{d.Config.State, d.Config.Archive, d.Config.Backups} {
		if err := install.Private(dir, false).Run(ctx); err != nil {
			d.fix("directory", dir, err)
			continue
		}
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			d.ok("directory", dir, "is created when it is first needed")
			continue
		}
		f, err := os.CreateTemp(dir, ".doctor-*")
		if err == nil {
			_ = f.Close()
			err = removeFile(f.Name())
		}
		d.either(err, "directory", dir, "can be written, and by no other account")
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
	if d.unknown != nil {
		return nil, d.unknown
	}
	items, _ := d.Archive().List() // versions reports what cannot be read
	var steps []step
	for _, dist := range d.Config.Distributions {
		largest, size := offered(fetch.Release{Version: version.MustParse("7.01.100")}), int64(0)
		for _, it := range items {
			if it.Distribution == dist.Name && it.Variant == version.Setup && it.Size > size {
				largest, size = archived(it), it.Size
			}
		}
		from := largest
		if d.fresh {
			from = release{}
		}
		steps = append(steps, step{name: dist.Name, from: from, to: largest})
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
			text = fmt.Sprintf(", an update needs %d MB: %s", n.Bytes/1e6+1, d.Site.patterns.Purposes(n.For))
		}
		d.either(err, "space", n.Path, "%d MB free%s", free/1e6, text)
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

// times warns of durations that are probably in the wrong unit.
func (d *doctor) times() {
	c := d.Config
	for _, t := range []struct {
		key   string
		value strict.Duration
		least time.Duration
		why   string
	}{
		{"deadlines.fence", c.Deadlines.Fence, time.Second, "services take longer to stop"},
		{"deadlines.snapshot", c.Deadlines.Snapshot, time.Second, "a backup takes longer"},
		{"deadlines.install", c.Deadlines.Install, 4 * time.Minute, "an installer may take 4 minutes (R11)"},
		{"deadlines.probe", c.Deadlines.Probe, 15 * time.Minute, "the restructuring may take 15 minutes, rarely 2 hours (R11)"},
		{"deadlines.restore", c.Deadlines.Restore, time.Second, "a restore takes longer"},
		{"deadlines.decide", c.Deadlines.Decide, 15 * time.Minute, "the restructuring may take 15 minutes, rarely 2 hours (R11)"},
		{"window.backup", c.Window.Backup, time.Second, "a backup takes longer"},
		{"window.checks", c.Window.Checks, time.Second, "the checks take longer"},
		{"window.rollback", c.Window.Rollback, time.Second, "a rollback takes longer"},
		{"server.timeout", c.Server.Timeout, time.Second, "a server may be silent longer"},
	} {
		if v := time.Duration(t.value); v > 0 && v < t.least {
			d.warn("time", t.key, "%s is probably too short: %s", v, t.why)
		}
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
