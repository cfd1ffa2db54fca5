package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/install/service"
	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// The roles of rollback.Update, each a few lines over the packages.

// fence keeps users out: the application first, then its databases.
type fence struct {
	app       applicationConfig
	services  service.Group
	databases []*postgres.Database // those that keep users out by themselves
	unfenced  []*postgres.Database // those that do so for their snapshot alone
}

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
func (s *site) services(names []string) service.Group {
	var g service.Group
	for _, name := range names {
		g = append(g, service.Service{Name: name, Dir: filepath.Join(s.conf.State, "services")})
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

func (d data) Snapshot(ctx context.Context) (string, error) {
	snap, err := d.store.Take(ctx, "before an update: "+d.name, d.target)
	return snap.ID, err
}

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

// installer runs the installers of one distribution out of the archive.
type installer struct {
	conf    distributionConfig
	archive fetch.Archive
	runner  install.Runner
	first   bool // only a first installation may take FullSetup (R3)
	limit   time.Duration

	to           rollback.Release  // what is to be installed
	requirements install.Checklist // that it has, besides
}

func (i installer) item(r rollback.Release) (fetch.Item, error) {
	v, err := version.Parse(r.Version)
	if err != nil {
		return fetch.Item{}, err
	}
	item, err := i.archive.Get(fetch.Key{Distribution: i.conf.Name, Version: v, Variant: version.Setup, SHA256: r.SHA256})
	if i.first && errors.Is(err, fetch.ErrNotArchived) {
		return i.archive.Get(fetch.Key{Distribution: i.conf.Name, Version: v, Variant: version.FullSetup, SHA256: r.SHA256})
	}
	return item, err
}

func (i installer) Ready(ctx context.Context, r rollback.Release) error {
	item, err := i.item(r)
	if err != nil {
		return err
	}
	cmd, err := i.command(item)
	if err != nil {
		return err
	}
	if err := i.archive.Verify(ctx, item); err != nil {
		return err
	}
	return i.allowed(ctx, r, cmd)
}

// entry returns what to run of an installer that is more than one file.
func (i installer) entry(item fetch.Item) (string, error) {
	if item.Parts == nil && strings.EqualFold(filepath.Ext(item.Path), ".zip") {
		return i.conf.Entry, nil // it is known once it is unpacked
	}
	file, err := item.Entry(i.conf.Entry)
	if err != nil || item.Parts == nil {
		return "", err
	}
	rel, err := filepath.Rel(item.Path, file)
	return filepath.ToSlash(rel), err
}

func (i installer) Install(ctx context.Context, r rollback.Release) error {
	return i.run(ctx, r, false)
}

func (i installer) run(ctx context.Context, r rollback.Release, uninstall bool) error {
	item, err := i.item(r)
	if err != nil {
		return err
	}
	cmd, err := i.command(item)
	if err != nil {
		return err
	}
	cmd.Uninstall = uninstall
	out, err := i.runner.Run(ctx, cmd)
	if err == nil && out.Status == install.RebootNeeded {
		return fmt.Errorf("%s: %w", out.Meaning, rollback.ErrReboot)
	}
	return err
}

func (i installer) command(item fetch.Item) (install.Command, error) {
	entry, err := i.entry(item)
	return install.Command{
		Path: item.Path, SHA256: item.SHA256, Entry: entry, Kind: install.Kind(i.conf.Kind), Launcher: i.conf.Launcher,
		Args: i.conf.Arguments, Env: environment(i.conf.Environment), Deadline: i.limit, Unelevated: i.conf.Unelevated,
	}, err
}

func (i installer) Settle(ctx context.Context) (bool, error) {
	s, err := i.runner.Settle(ctx)
	if err == nil && s.Found == install.Finished && s.Outcome.Status == install.RebootNeeded {
		err = fmt.Errorf("%s: %w", s.Outcome.Meaning, rollback.ErrReboot)
	}
	return s.Found == install.Finished, err
}

// Needs is the private copy that the runner runs.
func (i installer) Needs(context.Context) ([]rollback.Need, error) {
	items, err := i.archive.List()
	need := rollback.Need{Path: i.runner.State, For: "copy of the installer"}
	for _, it := range items {
		if it.Distribution == i.conf.Name {
			need.Bytes = max(need.Bytes, it.Size)
		}
	}
	return []rollback.Need{need}, err
}

// A remover can also take a version off the machine: by the operator's
// command, or by the package itself.
type remover struct{ installer }

func (r remover) Remove(ctx context.Context, rel rollback.Release) error {
	if len(r.conf.Remove) > 0 {
		return command(ctx, r.conf.Remove)
	}
	err := r.run(ctx, rel, true)
	if errors.Is(err, rollback.ErrReboot) {
		return nil // the previous version's installer says so, too, if it cannot go on
	}
	return err
}

// removes reports whether r can be taken off: an MSI can, and goes back to an
// older one only in that way.
func (i installer) removes(r rollback.Release) bool {
	if len(i.conf.Remove) > 0 {
		return true
	}
	if len(i.conf.Launcher) > 0 || i.conf.Kind != string(install.Auto) {
		return len(i.conf.Launcher) == 0 && i.conf.Kind == string(install.MSI)
	}
	item, err := i.item(r)
	if err != nil {
		return false
	}
	file, err := item.Entry(i.conf.Entry)
	if err != nil {
		return false
	}
	kind, err := install.Detect(file)
	return err == nil && kind == install.MSI
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

// verifier vouches for a distribution's files by pinned hashes, and where
// there is none by the publisher's signature or by the operator's word that
// none is needed. Then the server must at least agree with itself.
func verifier(d distributionConfig, src fetch.Source) fetch.Verifier {
	return fetch.VerifierFunc(func(ctx context.Context, c fetch.Candidate) (fetch.Vouched, error) {
		pins := d.SHA256
		if c.Variant == version.FullSetup {
			pins = d.SHA256FullSetup
		}
		if sum, ok := pins[c.Version.String()]; ok {
			return fetch.PinnedSHA256(sum).Verify(ctx, c)
		}
		if d.SHA256File != "" {
			v, err := fetch.PinnedSums(d.SHA256File).Verify(ctx, c)
			if err != nil && !errors.Is(err, fetch.ErrMismatch) {
				err = fmt.Errorf("nobody vouches for %s: %w: %w", c.Key, err, errNotVouched)
			}
			return v, err
		}
		if d.Publisher.given() {
			return d.Publisher.Verify(ctx, c)
		}
		if d.Unauthenticated != "" {
			return fetch.Hinted(src, fetch.Unauthenticated(d.Unauthenticated)).Verify(ctx, c)
		}
		return fetch.Vouched{}, fmt.Errorf("nobody vouches for %s with the hash %s: %w", c.Key, c.SHA256, errNotVouched)
	})
}

// vouches reports whether somebody may vouch for a version's files: a file of
// hashes is asked when they are there.
func (d distributionConfig) vouches(v version.Version, variant version.Variant) bool {
	pins := d.SHA256
	if variant == version.FullSetup {
		pins = d.SHA256FullSetup
	}
	return pins[v.String()] != "" || d.SHA256File != "" || d.Publisher.given() || d.Unauthenticated != ""
}

// errNotVouched ends a download for which the config has neither a hash nor a
// publisher nor the word that none is needed.
var errNotVouched = errors.New("pin its hash in distribution.sha256 or sha256_file or its publisher in distribution.publisher, or say in distribution.unauthenticated why it is taken without")
