package roles

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// Installers describes the installers of one part of an update: archived (R10),
// and run by Runner. [Installers.Role] returns the role.
type Installers struct {
	Archive *archive.Archive
	Runner  *install.Runner

	// The keys of From, To and Setup of the [rollback.Part], with their hashes.
	// No other installer is run. From is zero for a first installation. To may
	// be a FullSetup only if Setup is given (R3).
	From, To, Setup archive.Key

	// Command says how they are run. Path, SHA256 and Uninstall are filled in.
	// Entry is used for those that are a directory or a zip archive.
	Command install.Command
	// Requirements must be met before To is installed (R14). They are not
	// checked for From: a rollback must not depend on them.
	Requirements install.Checklist
	// Remove uninstalls a version. A first installation needs it, and a kind
	// that cannot install an older version over a newer one. An MSI is
	// uninstalled by its own package if Remove is not given.
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

// Role returns the role. It is also a [rollback.Spacer], and a [rollback.Remover]
// if Remove is given or To is an MSI package.
//
// Ready reads the installer back from the archive. It fails unless the installer
// has the hash of the release (R10), this process has the rights that it needs
// (the error wraps [install.ErrPermission]), and for To all Requirements are met
// (R14). Install runs the installer to its end. An error that wraps
// [rollback.ErrReboot] means that it has succeeded and the machine must restart.
// Settle waits for an installer that an earlier process left running.
func (i Installers) Role() rollback.Installer {
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
		if item, err = i.Archive.Get(key); err != nil {
			return item, cmd, err
		}
		cmd = i.Command
		cmd.Path, cmd.SHA256 = item.Path, item.SHA256
		cmd.Entry, err = entry(item, cmd.Entry)
		return item, cmd, err
	}
	return item, cmd, fmt.Errorf("release %s with the hash %q is not among the installers of this update", r.Version, r.SHA256)
}

// entry returns the file to run of an installer that has several.
func entry(item archive.Item, name string) (string, error) {
	if item.Parts == nil && strings.EqualFold(filepath.Ext(item.Path), ".zip") {
		return name, nil // its files are known once it is unpacked
	}
	file, err := item.Entry(name)
	if err != nil || item.Parts == nil {
		return "", err
	}
	rel, err := filepath.Rel(item.Path, file)
	return filepath.ToSlash(rel), err
}

type installer struct{ Installers }

// String and GoString keep fmt from printing the environment.
func (i installer) String() string   { return "installers of " + i.To.Distribution }
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
	return cmd.Rights()
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
	out, err := i.Runner.Run(ctx, cmd)
	if err == nil {
		err = reboot(out)
	}
	return err
}

// reboot returns an error if the machine must restart.
func reboot(out install.Outcome) error {
	if out.Status == install.RebootNeeded {
		return fmt.Errorf("%s: %w", out.Meaning, rollback.ErrReboot)
	}
	return nil
}

func (i installer) Settle(ctx context.Context) (finished bool, err error) {
	s, err := i.Runner.Settle(ctx)
	if err == nil && s.Found == install.Finished {
		err = reboot(s.Outcome)
	}
	return s.Found == install.Finished, err
}

// Needs returns the space for the private copy that Runner runs.
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
		need.Bytes = max(need.Bytes, item.Size)
	}
	return []rollback.Need{need}, nil
}

type remover struct{ installer }

func (r remover) Remove(ctx context.Context, rel rollback.Release) error {
	if len(r.Installers.Remove.Argv) > 0 {
		return r.Installers.Remove.Run(ctx, nil)
	}
	err := r.run(ctx, rel, true)
	if errors.Is(err, rollback.ErrReboot) {
		return nil // the installer of the previous version reports it too, if it must wait for it
	}
	return err
}
