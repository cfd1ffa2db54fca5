package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/internal/process"
)

// Elevated is met if this process runs with elevated rights: as an elevated
// administrator, or on Linux as root.
func Elevated() Check {
	return Check{Name: "elevated rights", Run: func(context.Context) error { return requireRights(elevated, "an update") }}
}

func requireRights(elevated func() (bool, error), what string) error {
	ok, err := elevated()
	if err != nil {
		return fmt.Errorf("cannot find out whether this process has elevated rights: %w", err)
	}
	if !ok {
		return fmt.Errorf("%s: %w, and this process does not have them; run it as an administrator, or as root", what, ErrPermission)
	}
	return nil
}

// Ready returns why Run would start nothing on this machine, as far as that is known before
// users are closed out: call it when an update is planned. The error wraps [ErrPermission]
// if the installer needs elevated rights and this process does not have them: MSI, Burn, Inno and Deb
// do, and programs for Windows whose manifest requires an administrator; none is asked for where
// Unelevated or a Launcher is set.
//
// It also fails where the file is of another kind than stated, or of no kind, or for another
// system, or shorter than its own headers say, or for processors whose programs this machine surely cannot run; where the program that opens it was not found; where an argument would be taken apart
// by cmd.exe, because the installer is a batch file; and on Linux where the installer is a
// program and State is on a volume that forbids running programs.
//
// All of that holds for the Entry of a directory and of a zip archive, too. Of an archive Ready
// reads the names and sizes of all files, and the Entry to its end, and writes nothing. It fails
// where Run could not unpack the archive: one that is cut short, has files that lead out of it, or needs
// more space than there is. Whether its other files are whole is not known before Run. Reading ends
// when ctx does, and the error then wraps the cause of that.
func (r *Runner) Ready(ctx context.Context, c Command) error {
	if err := c.checkBatch(c.Path); err != nil {
		return err
	}
	c.Kind = cmp.Or(c.Kind, Plain)
	elevated := elevated
	if r.elevated != nil {
		elevated = r.elevated
	}
	var rights error
	err := c.withEntry(ctx, func(f contents) (err error) {
		if c, err = c.opens(ctx, f); err == nil {
			rights = c.rights(f, elevated)
		}
		return err
	})
	if err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return &Error{Op: "prepare", Subject: c.subject(), Err: err}
	}
	return errors.Join(rights, c.startable(r.State))
}

// opens fails where the file cannot be run as the command says, and else returns the
// command with its kind.
func (c Command) opens(ctx context.Context, f contents) (Command, error) {
	if f.read == nil {
		return c, nil
	}
	if err := f.whole(); err != nil { // before its kind: what shows that may be missing
		return c, err
	}
	stated := c.Kind
	c, err := c.resolve(f)
	if err != nil {
		return c, err
	}
	if f.zipped && stated == Auto && c.Kind == MSI {
		return c, errors.New("a package of kind msi in a zip archive: state the kind, because a rollback uninstalls such a package first")
	}
	inv, err := c.invoke(ctx, f, f.path)
	if err == nil {
		err = inv.found(f.path)
	}
	return c, err
}

// stated fails where the file is known to be of another kind.
func (k Kind) stated(f contents) error {
	if k == Script || k == makeself { // any text for an interpreter
		return nil
	}
	is, err := f.detect()
	program := slices.Contains([]Kind{NSIS, Inno, Burn}, k)
	switch ext := strings.ToLower(filepath.Ext(f.path)); {
	case err != nil && !errors.Is(err, ErrUnknownKind):
		return err
	case k == Plain && runtime.GOOS == "windows" && (ext == ".bat" || ext == ".cmd"):
		return nil
	case err != nil:
		return fmt.Errorf("the kind is stated as %s: %w", k, err)
	case is == k, is == Plain && program, is == Deb && k == apt:
		return nil
	case k == Plain && !slices.Contains([]Kind{Deb, rpm, MSI}, is): // all others are programs
		return nil
	}
	return fmt.Errorf("the kind is stated as %s, and the file is one of kind %s; state that, or leave the kind out", k, is)
}

// startable fails if the private copy, which is in the state directory, could not be started
// from there. What an interpreter or a package manager reads can be anywhere.
func (c Command) startable(state string) error {
	own := c.Kind == makeself && slices.Contains(c.Args, "--target") // it unpacks elsewhere
	if len(c.Launcher) > 0 || state == "" || own || c.Kind != Plain && c.Kind != makeself {
		return nil
	}
	forbidden, err := forbidsPrograms(state)
	if err == nil && forbidden {
		err = fmt.Errorf("the volume of %s forbids running programs (noexec), and the installer would be started there; have the state directory elsewhere, or remount the volume", state)
	}
	return err
}

// checkBatch returns an error if arguments would be taken apart by the interpreter of
// batch files.
func (c Command) checkBatch(path string) error {
	if len(c.Launcher) > 0 {
		return process.CheckBatch(c.Launcher[0], slices.Concat(c.Launcher[1:], []string{path}, c.Args))
	}
	if c.Entry != "" {
		path = c.Entry
	}
	return process.CheckBatch(path, c.Args)
}

func (c Command) rights(f contents, elevated func() (bool, error)) error {
	if c.Unelevated || len(c.Launcher) > 0 {
		return nil
	}
	if !c.Kind.needsRights() {
		requires, err := f.requiresAdministrator()
		if err != nil || !requires {
			return err
		}
	}
	return requireRights(elevated, fmt.Sprintf("an installer of kind %s", cmp.Or(c.Kind, Plain)))
}

const manifestType = 24 // the type of the resource; a program's own has number 1

var administrator = regexp.MustCompile(`(?is)requestedExecutionLevel[^>]*\slevel\s*=\s*["']requireAdministrator["']`)

// requiresAdministrator reports whether Windows would refuse to start the
// program without elevated rights.
func (c contents) requiresAdministrator() (requires bool, err error) {
	if c.read == nil {
		return false, nil
	}
	err = c.read(func(f headers) error {
		p, err := f.peHeaders()
		if errors.Is(err, ErrUnknownKind) {
			return nil // not a program for Windows
		}
		if err != nil {
			return err
		}
		manifest, ok := f.resource(p, manifestType, 1, maxRead)
		if ok && strings.HasPrefix(string(manifest), utf16Mark) {
			manifest = decodeUTF16(manifest[2:])
		}
		requires = ok && administrator.Match(manifest)
		return nil
	})
	return requires, err
}
