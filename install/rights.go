package install

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Elevated holds if this process runs with elevated rights: as an
// administrator whose rights are not cut down, or on Linux as root.
func Elevated() Check {
	return Check{Name: "elevated rights", Look: func(context.Context) error { return requireRights(elevated, "an update") }}
}

func requireRights(elevated func() (bool, error), what string) error {
	ok, err := elevated()
	if err != nil {
		return fmt.Errorf("whether this process has elevated rights cannot be told: %w", err)
	}
	if !ok {
		return fmt.Errorf("%s: %w, and this process does not have them; run it as an administrator, or as root", what, ErrRights)
	}
	return nil
}

// Rights returns an error that wraps [ErrRights] if the installer needs
// elevated rights and this process does not have them: MSI, Burn and Deb do, and
// programs for Windows whose manifest demands an administrator. [Runner.Run]
// asks it before it starts anything; ask it when an update is planned, for then
// no user has been kept out yet. Of a zip archive it knows nothing but the
// Kind, and it answers nil where Unelevated or a Launcher is given.
func (c Command) Rights() error {
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

func (c Command) rights(path string, elevated func() (bool, error)) error {
	if c.Unelevated || len(c.Launcher) > 0 {
		return nil
	}
	if c.Kind != MSI && c.Kind != Burn && c.Kind != Deb {
		demands, err := demandsAdministrator(path)
		if err != nil || !demands {
			return err
		}
	}
	kind := c.Kind
	if kind == "" {
		kind = Plain
	}
	return requireRights(elevated, fmt.Sprintf("an installer of kind %s", kind))
}

const manifestType = 24 // of resources; a program's own has number 1

var administrator = regexp.MustCompile(`(?is)requestedExecutionLevel[^>]*\slevel\s*=\s*["']requireAdministrator["']`)

// demandsAdministrator reports whether Windows would refuse to start the
// program without elevated rights.
func demandsAdministrator(path string) (bool, error) {
	if path == "" {
		return false, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	h := headers{f, fi.Size()}
	p, err := h.peHeaders()
	if errors.Is(err, ErrUnknownKind) {
		return false, nil // no program for Windows
	}
	if err != nil {
		return false, err
	}
	manifest, ok := h.resource(p, manifestType, 1, maxRead)
	if ok && strings.HasPrefix(string(manifest), utf16Mark) {
		manifest = decodeUTF16(manifest[2:])
	}
	return ok && administrator.Match(manifest), nil
}
