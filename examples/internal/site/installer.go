package site

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// An installer runs the installers of one distribution out of the archive.
type installer struct {
	conf    distributionConfig
	archive *archive.Archive
	runner  install.Runner
	first   bool // only a first installation may take FullSetup (R3)
	limit   time.Duration

	to           rollback.Release  // what is to be installed
	requirements install.Checklist // that it has, besides
}

func (i installer) item(r rollback.Release) (archive.Item, error) {
	v, err := version.Parse(r.Version)
	if err != nil {
		return archive.Item{}, err
	}
	item, err := i.archive.Get(archive.Key{Distribution: i.conf.Name, Version: v, Variant: version.Setup, SHA256: r.SHA256})
	if i.first && errors.Is(err, fetch.ErrNotArchived) {
		return i.archive.Get(archive.Key{Distribution: i.conf.Name, Version: v, Variant: version.FullSetup, SHA256: r.SHA256})
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
func (i installer) entry(item archive.Item) (string, error) {
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

func (i installer) command(item archive.Item) (install.Command, error) {
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

// role is the installer as an update has it: what its version leaves behind
// cannot always be replaced by an older one, and is then taken off first.
func (i installer) role() rollback.Installer {
	if i.removes(i.to) {
		return remover{i}
	}
	return i
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

// allowed vetoes an installer for which the machine is not as it must be.
func (i installer) allowed(ctx context.Context, r rollback.Release, cmd install.Command) error {
	if r == i.to {
		if _, err := i.requirements.Look(ctx); err != nil {
			return fmt.Errorf("R14: %w; aspupdate confirm takes a person's word", err)
		}
	}
	return cmd.Rights()
}
