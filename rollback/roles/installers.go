package roles

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/internal/zipfile"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// Installers describes the installers of one part of an update: archived (R10),
// and run by Runner. [Installers.Role] returns the role.
type Installers struct {
	Archive *archive.Archive
	Runner  *install.Runner

	// The keys of From, To and Setup of the [rollback.Part], with their hashes.
	// From is zero for a first installation. To may be a FullSetup only if Setup
	// is given (R3). What a journal names besides, as that of a pending update, is
	// found in the archive by version and hash, if it is a Setup of the same
	// distribution: without keys From has at least the distribution.
	From, To, Setup archive.Key

	// Command says how they are run. Path, SHA256 and Uninstall are filled in.
	// Entry is used for those that are a directory or a zip archive.
	Command install.Command
	// Requirements must be met before To is installed (R14). They are not
	// checked for From: a rollback must not depend on them.
	Requirements install.Checklist
	// Vouch fails unless an archived installer is vouched for now, by the same
	// means as a new release. It is asked of a version to go back to whose hash
	// the journal does not have. Nil vouches for all.
	Vouch func(context.Context, archive.Item) error
	// Remove uninstalls a version. A first installation needs it, and a kind
	// that cannot install an older version over a newer one. An MSI is
	// uninstalled by its own package if Remove is not given. It lasts until the last
	// process that it started has ended: uninstallers return early and go on in a
	// copy of themselves. Its State is by default a directory below that of Runner.
	Remove Command
}

// Release returns the release of an archived installer, as plans and the journal
// have it.
func Release(item archive.Item) rollback.Release {
	r := release(item.Key)
	if item.Vouched.Authenticated {
		r.VouchedBy = item.Vouched.By
	}
	return r
}

func release(k archive.Key) rollback.Release {
	return rollback.Release{Version: rollback.Version(k.Version.String()), SHA256: k.SHA256}
}

// Role returns the role. It has Needs, and Remove
// if that is given or To is an MSI package.
//
// Ready reads the installer back from the archive. It fails unless the installer
// has the hash of the release (R10), this process has the rights that it needs
// (the error wraps [install.ErrPermission]), and for To all Requirements are met
// (R14). Install runs the installer to its end. An error that wraps
// [rollback.ErrReboot] means that it has succeeded and the machine must restart.
// Settle waits for an installer or a remover that an earlier process left running.
func (i Installers) Role() rollback.Installer {
	if i.Remove.State == "" && i.Runner != nil {
		i.Remove.State = filepath.Join(i.Runner.State, "remove")
	}
	if len(i.Remove.Argv) > 0 || i.isMSI() {
		return remover{installer{i}}
	}
	return installer{i}
}

// isMSI reports whether To is an MSI package.
func (i Installers) isMSI() bool {
	if len(i.Command.Launcher) > 0 || i.Command.Kind != install.Auto {
		return len(i.Command.Launcher) == 0 && i.Command.Kind == install.MSI
	}
	item, err := i.Archive.Get(i.To)
	if err != nil {
		return false
	}
	file, err := item.Entry(i.Command.Entry)
	if err != nil {
		return false
	}
	kind, err := install.Detect(file)
	return err == nil && kind == install.MSI
}

// find returns the archived installer of r and the command that runs it.
func (i Installers) find(r rollback.Release) (item archive.Item, cmd install.Command, err error) {
	for _, key := range []archive.Key{i.To, i.Setup, i.From} {
		if key.SHA256 == "" || key.SHA256 != r.SHA256 || release(key).Version != r.Version {
			continue
		}
		if key.Variant == version.FullSetup && (key != i.To || i.Setup.Version.IsZero()) {
			return item, cmd, fmt.Errorf("R3: FullSetup of %s would replace the database by the vendor's example; it is for a first installation, together with the Setup of the same version", r.Version)
		}
		return i.command(i.Archive.Get(key))
	}
	v, err := version.Parse(string(r.Version))
	if err == nil && r.SHA256 != "" {
		item, err = i.Archive.Get(archive.Key{Distribution: cmp.Or(i.To.Distribution, i.From.Distribution), Version: v, Variant: version.Setup, SHA256: r.SHA256})
		if !errors.Is(err, archive.ErrNotFound) {
			return i.command(item, err)
		}
	}
	return item, cmd, fmt.Errorf("release %s with the hash %q is not among the installers of this update", r.Version, r.SHA256)
}

// command returns the command that runs an archived installer.
func (i Installers) command(item archive.Item, err error) (archive.Item, install.Command, error) {
	if err != nil {
		return item, install.Command{}, err
	}
	cmd := i.Command
	cmd.Path, cmd.SHA256 = item.Path, item.SHA256
	cmd.Entry, err = entry(item, cmd.Entry)
	return item, cmd, err
}

// entry returns the file to run of an installer that has several.
func entry(item archive.Item, name string) (string, error) {
	if isZip(item) {
		return name, nil // the runner knows whether it is there
	}
	file, err := item.Entry(name)
	if err != nil || item.Parts == nil {
		return "", err
	}
	rel, err := filepath.Rel(item.Path, file)
	return filepath.ToSlash(rel), err
}

func isZip(item archive.Item) bool {
	return item.Parts == nil && strings.EqualFold(filepath.Ext(item.Path), ".zip")
}

// space returns how much the private copy of an installer takes: of a zip archive that of
// the files in it, too.
func (i Installers) space(item archive.Item) int64 {
	if i.Command.Entry == "" || !isZip(item) {
		return item.Size
	}
	z, err := zipfile.Open(item.Path)
	if err != nil {
		return item.Size // Ready reports it
	}
	defer func() { _ = z.Close() }()
	const most = 1 << 60 // which no volume has
	var unpacked uint64
	for _, f := range z.File {
		unpacked += min(f.UncompressedSize64, most-unpacked)
	}
	return item.Size + int64(unpacked)
}

type installer struct{ Installers }

// String and GoString keep fmt from printing the environment.
func (i installer) String() string {
	return "installers of " + cmp.Or(i.To.Distribution, i.From.Distribution)
}
func (i installer) GoString() string { return i.String() }

func (i installer) Ready(ctx context.Context, r rollback.Release) error {
	item, cmd, err := i.find(r)
	if err != nil {
		return err
	}
	if err := i.Archive.Verify(ctx, item); err != nil {
		return err
	}
	if item.Key == i.To {
		if _, err := i.Requirements.Run(ctx); err != nil {
			return fmt.Errorf("R14: %w", err)
		}
	}
	return i.Runner.Ready(ctx, cmd)
}

func (i installer) Vouched(ctx context.Context, r rollback.Release) error {
	item, _, err := i.find(r)
	if err != nil || i.Vouch == nil {
		return err
	}
	return i.Vouch(ctx, item)
}

func (i installer) Install(ctx context.Context, r rollback.Release) error {
	return i.run(ctx, r, false)
}

func (i installer) run(ctx context.Context, r rollback.Release, uninstall bool) error {
	_, cmd, err := i.find(r)
	if err != nil {
		return err
	}
	cmd.Uninstall = uninstall
	if err := i.reserve(r); err != nil {
		return err
	}
	out, err := i.Runner.Run(ctx, cmd)
	switch {
	case err == nil:
		err = reboot(out)
	case out.Status == install.Busy:
		err = busyError{err}
	}
	return err
}

// spare is what a rollback writes besides the copy of its installer: logs and records.
const spare = 16 << 20

// reserve keeps space for the rollback before the new version is installed, because
// its installer may fill the volume; and gives it back before any other one runs.
func (i installer) reserve(r rollback.Release) error {
	if err := i.release(); err != nil {
		return err
	}
	if i.From.Version.IsZero() || r.SHA256 != i.To.SHA256 {
		return nil
	}
	item, err := i.Archive.Get(i.From)
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(i.Runner.State, 0o700); err != nil {
		return err
	}
	if err := durable.Reserve(i.reserved(), i.space(item)+spare); err != nil {
		return fmt.Errorf("cannot reserve the space for a rollback; free some: %w", err)
	}
	return nil
}

// reserved returns the file whose space it is, one for each part of an update.
func (i installer) reserved() string {
	return filepath.Join(i.Runner.State, "reserve-"+i.From.SHA256[:min(8, len(i.From.SHA256))])
}

// Tidy gives back the space that was reserved for a rollback, once an update has
// ended, and removes the record of the application.
func (i installer) Tidy(context.Context) error { return errors.Join(i.release(), i.forget()) }

// release gives back the space that was reserved for a rollback.
func (i installer) release() error {
	if err := durable.Remove(i.reserved()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// A busyError is that of an installer that another program kept from running.
type busyError struct{ error }

func (e busyError) Unwrap() error { return e.error }

// Busy reports that nothing was tried yet: it is no failed attempt at a rollback.
func (busyError) Busy() bool { return true }

// reboot returns an error if the machine must restart.
func reboot(out install.Outcome) error {
	if out.Status == install.RebootNeeded {
		return fmt.Errorf("%s: %w", out.Meaning, rollback.ErrReboot)
	}
	return nil
}

func (i installer) Settle(ctx context.Context) (finished bool, err error) {
	if err := i.release(); err != nil { // what comes next needs the space
		return false, err
	}
	if _, err := i.Remove.settle(ctx); err != nil {
		return false, err
	}
	s, err := i.Runner.Settle(ctx)
	if err == nil && s.Found == install.Finished {
		err = reboot(s.Outcome)
	}
	return s.Found == install.Finished, err
}

// Needs returns the space for the private copy that Runner runs, and for what is
// reserved for a rollback.
func (i installer) Needs(context.Context) ([]rollback.Need, error) {
	need := rollback.Need{Path: i.Runner.State, For: "copy of the installer"}
	for _, key := range []archive.Key{i.To, i.Setup, i.From} {
		if key.Version.IsZero() {
			continue
		}
		item, err := i.Archive.Get(key)
		if err != nil && !errors.Is(err, archive.ErrNotFound) { // Ready reports it
			return nil, err
		}
		need.Bytes = max(need.Bytes, i.space(item))
	}
	if !i.From.Version.IsZero() {
		need.For, need.Bytes = "copies of the installers", need.Bytes+spare
		if item, err := i.Archive.Get(i.From); err == nil {
			need.Bytes += i.space(item)
		}
	}
	return []rollback.Need{need}, nil
}

type remover struct{ installer }

func (r remover) Remove(ctx context.Context, rel rollback.Release) error {
	if len(r.Installers.Remove.Argv) > 0 {
		return r.Installers.Remove.run(ctx, process.Command{Whole: true})
	}
	err := r.run(ctx, rel, true)
	if errors.Is(err, rollback.ErrReboot) {
		return nil // the installer of the previous version reports it too, if it must wait for it
	}
	return err
}
