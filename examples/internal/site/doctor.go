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
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// A Finding is what [Site.Doctor] has to say of one thing.
type Finding struct {
	State string `json:"state"` // ok, warning or fix
	What  string `json:"what"`  // server, tls, space and so on
	Name  string `json:"name,omitempty"`
	Text  string `json:"text"`
	Err   error  `json:"-"` // with fix: what an update would end with
}

// Doctor looks at all that an update will need, in the order of an update's
// own looking, and changes nothing.
func (s *Site) Doctor(ctx context.Context) []Finding {
	quiet := *s
	quiet.Observe = Observe{} // the findings say it
	d := &doctor{Site: &quiet}
	d.server(ctx)
	d.journal()
	d.versions(ctx)
	d.databases(ctx)
	d.programs()
	d.services(ctx)
	d.folders(ctx)
	d.space(ctx)
	d.clock()
	d.machine(ctx)
	return d.found
}

type doctor struct {
	*Site
	st    rollback.Status
	found []Finding
}

func (d *doctor) ok(what, name, format string, args ...any) {
	d.found = append(d.found, Finding{State: "ok", What: what, Name: name, Text: fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(what, name, format string, args ...any) {
	d.found = append(d.found, Finding{State: "warning", What: what, Name: name, Text: fmt.Sprintf(format, args...)})
}

// fix notes what must be mended before an update.
func (d *doctor) fix(what, name string, err error) {
	d.found = append(d.found, Finding{State: "fix", What: what, Name: name, Text: err.Error(), Err: err})
}

// either notes that something is well, or why it is not.
func (d *doctor) either(err error, what, name, format string, args ...any) {
	if err != nil {
		d.fix(what, name, err)
		return
	}
	d.ok(what, name, format, args...)
}

// server looks for each distribution: that takes a connection, TLS and a
// login on its way.
func (d *doctor) server(ctx context.Context) {
	c, source := d.Config.Server, d.Source()
	source.Retry.Attempts = 1 // somebody waits
	switch {
	case source.TLS == ftp.TLSNone:
		d.warn("tls", "", "none: anybody on the way can read the password and replace the files; ask the vendor whether server.tls = \"explicit\" works")
	case c.TLSInsecure != "":
		d.warn("tls", "", "the server's certificate is not checked, because: %s", c.TLSInsecure)
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
			d.ok("credentials", c.User, "taken")
		}
		if err == nil && len(found.Releases) == 0 {
			d.warn("distribution", dist.Name, "no release to offer; passed over: %v", found.Skipped)
			continue
		}
		d.either(err, "distribution", dist.Name, "%s", newestOf(found))
		if err == nil && !dist.vouches(found.Releases[0].Version, d.variant()) {
			d.fix("distribution", dist.Name, fmt.Errorf("nobody vouches for %s: %w", found.Releases[0].Version, ErrNotVouched))
		}
		if dist.Unauthenticated != "" {
			d.warn("distribution", dist.Name, "files without a pinned hash are taken, because: %s", dist.Unauthenticated)
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

// versions asks for what is installed, and re-reads the Setup that a way back
// would install (R10).
func (d *doctor) versions(ctx context.Context) {
	for _, dist := range d.Config.Distributions {
		answer, err := newProbe(dist.Probe, nil).Version(ctx)
		switch {
		case err != nil:
			d.fix("application", dist.Name, err)
		case answer == "":
			d.warn("application", dist.Name, "not installed: %s is not there; the first update wants --first-installation", dist.Probe.Installed)
		default:
			d.ok("application", dist.Name, "answers that it is %s", answer)
		}
		r, committed := d.st.Committed[dist.Name]
		if !committed {
			r.Version = answer
		}
		if r.Version == "" {
			continue
		}
		if committed && err == nil && answer != r.Version && d.st.Pending == nil { // which may have got as far as that
			d.fix("application", dist.Name, &rollback.Refusal{Reason: rollback.ReasonInstalled,
				Err: fmt.Errorf("the journal has %s as committed and the application answers %q: refused; aspupdate adopt, if it was installed by other means", r.Version, answer)})
		}
		d.previous(ctx, dist, r, committed)
	}
}

// previous re-reads the Setup of the installed version, and compares what its
// installer needs with this process's rights.
func (d *doctor) previous(ctx context.Context, dist distributionConfig, installed rollback.Release, committed bool) {
	r, err := journaled(installed)
	var item archive.Item
	if err == nil {
		item, err = d.Archive().Get(r.key(dist.Name, version.Setup))
	}
	switch {
	case !errors.Is(err, archive.ErrNotFound):
	case committed: // an update looks for it later than for what is wrong with the folders
		err = &rollback.Refusal{Reason: rollback.ReasonPrevious, Err: fmt.Errorf("R10: the Setup of the installed version is needed for the way back: %w", err)}
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
	d.either(err, "archive", dist.Name, "the Setup of %s is there and whole (R10)", r.Version)
	if err == nil {
		d.either(rights, "rights", dist.Name, "this user's are enough for its installer")
	}
}

// databases looks whether backups could be made.
func (d *doctor) databases(ctx context.Context) {
	for _, p := range d.Config.Postgres {
		server, dump, err := (&postgres.Database{URI: p.value()}).Versions(ctx)
		d.either(err, "postgres", p.Name, "PostgreSQL %s, the role may do all that is needed, %s", server, dump)
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

// programs looks for the programs of all commands.
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

// services looks for the system's services that an update stops.
func (d *doctor) services(ctx context.Context) {
	for _, name := range slices.Concat(d.Config.Application.FenceServices, d.Config.Application.Services) {
		st, err := service.Query(ctx, name)
		if err == nil && !st.Exists {
			d.warn("service", name, "there is none of this name yet: correct application, or let the installer make it")
			continue
		}
		d.either(err, "service", name, "%s, autostart %s", st.State, st.Autostart)
	}
}

// folders looks whether the three folders may be written, and lie well.
func (d *doctor) folders(ctx context.Context) {
	for _, dir := range []string{d.Config.State, d.Config.Archive, d.Config.Backups} {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			d.ok("directory", dir, "is made when it is first needed")
			continue
		}
		f, err := os.CreateTemp(dir, ".doctor-*")
		if err == nil {
			_ = f.Close()
			err = os.Remove(f.Name())
		}
		d.either(err, "directory", dir, "can be written")
	}
	u, err := d.unplanned()
	if err == nil {
		var live []string
		if live, err = d.serverFolders(ctx); err == nil {
			u.Live = append(u.Live, live...)
			err = u.Check()
		}
	}
	d.either(err, "directories", "", "none lies inside what an update replaces")
}

// unplanned is an update to ask its roles: from and to the largest installer
// that the archive has.
func (d *doctor) unplanned() (*Update, error) {
	items, _ := d.Archive().List() // what cannot be read is reported by versions
	var steps []step
	for _, dist := range d.Config.Distributions {
		some, size := found(fetch.Release{Version: version.MustParse("7.01.100")}), int64(0)
		for _, it := range items {
			if it.Distribution == dist.Name && it.Variant == version.Setup && it.Size > size {
				some, size = archived(it), it.Size
			}
		}
		steps = append(steps, step{name: dist.Name, from: some, to: some})
	}
	return d.update(steps)
}

// space compares what an update takes with what is free, and tells what is
// free where it takes nothing.
func (d *doctor) space(ctx context.Context) {
	var needs []rollback.Need
	u, err := d.unplanned()
	if err == nil {
		needs, err = u.Needs(ctx)
	}
	if err != nil {
		d.fix("space", "", err)
	}
	for _, dir := range []string{d.Config.State, d.Config.Archive, d.Config.Backups} {
		needs = append(needs, rollback.Need{Path: dir})
	}
	told := map[string]bool{}
	for _, n := range needs {
		v, err := durable.VolumeOf(n.Path)
		if err == nil && told[v.ID] {
			continue
		}
		told[v.ID] = true
		text := ""
		if n.Bytes > 0 {
			text = fmt.Sprintf(", an update takes %d MB (%s)", n.Bytes>>20+1, n.For)
		}
		d.either(err, "space", n.Path, "%d MB free%s", v.Free>>20, text)
	}
}

// clock looks whether the clock can be believed: the support's hours (R13)
// are told by it.
func (d *doctor) clock() {
	now := time.Now()
	const fault = 5 * time.Minute
	st, _ := d.Status()
	switch synchronized, known := clockSynchronized(); {
	case st.Written.After(now.Add(fault)):
		d.fix("clock", "", fmt.Errorf("it shows %s, and the journal was written at %s: set it right", d.Config.Clock().Time(now), d.Config.Clock().Time(st.Written)))
	case known && !synchronized:
		d.warn("clock", "", "it shows %s; the system does not know whether that is right: does it ask a time server?", d.Config.Clock().Time(now))
	default:
		d.ok("clock", "", "it shows %s", d.Config.Clock().Time(now))
	}
	if w := d.Config.Calendar.days.Warning(now); w != "" {
		d.warn("calendar", "", "%s", w)
	} else {
		d.ok("calendar", "", "days off are known until %s", d.Config.Calendar.days.Last())
	}
}

// machine looks at what an installer finds around it.
func (d *doctor) machine(ctx context.Context) {
	if err := install.NoRebootPending().Run(ctx); err != nil {
		d.warn("restart", "", "%v", err)
	} else {
		d.ok("restart", "", "none is pending")
	}
}
