package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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

// Rights returns an error that wraps [ErrPermission] if the installer needs
// elevated rights and this process does not have them: MSI, Burn, Inno and Deb do, and
// programs for Windows whose manifest requires an administrator. [Runner.Run]
// calls it before it starts anything; call it when an update is planned, before
// users are closed out. Of a zip archive it knows only the Kind, and it returns
// nil where Unelevated or a Launcher is set.
//
// It also fails where an argument would be taken apart by cmd.exe, because the
// installer is a batch file.
func (c Command) Rights() error {
	if err := c.checkBatch(c.Path); err != nil {
		return err
	}
	if c.Unelevated || len(c.Launcher) > 0 {
		return nil
	}
	path := c.Path
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		path = filepath.Join(path, filepath.FromSlash(c.Entry))
	} else if c.Entry != "" {
		path = ""
	}
	if c.Kind == Auto && path != "" {
		kind, err := Detect(path)
		if err != nil {
			return err
		}
		c.Kind = kind
	}
	return c.rights(path, elevated)
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

func (c Command) rights(path string, elevated func() (bool, error)) error {
	if c.Unelevated || len(c.Launcher) > 0 {
		return nil
	}
	if !c.Kind.needsRights() {
		requires, err := requiresAdministrator(path)
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
func requiresAdministrator(path string) (requires bool, err error) {
	if path == "" {
		return false, nil
	}
	err = withHeaders(path, func(f headers) error {
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
