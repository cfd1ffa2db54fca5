package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// requirementsConfig is what the first version of a year needs (R14).
type requirementsConfig struct {
	System  string           `toml:"system"`  // name and version, as install.System has them
	DotNet  string           `toml:"dotnet"`  // of the .NET Framework
	FreeGB  map[string]int64 `toml:"free_gb"` // by path
	Confirm []string         `toml:"confirm"` // what only a person can see
}

func (c requirementsConfig) check() error {
	if name, atLeast, _ := strings.Cut(c.System, " "); c.System != "" && (name == "" || atLeast == "") {
		return fmt.Errorf("first_of_year.system = %q: it wants a name and a version such as \"debian 12\"", c.System)
	}
	return nil
}

// requirements are those of R14 for a version, in the year of its number.
func (s *site) requirements(v string) (install.Checklist, error) {
	to, err := version.Parse(v)
	if err != nil {
		return nil, err
	}
	year, _, err := schedule.Numbering{}.Month(to)
	if err != nil {
		return nil, err
	}
	c := s.conf.FirstOfYear
	var list install.Checklist
	if name, atLeast, ok := strings.Cut(c.System, " "); ok {
		list = append(list, install.System(name, atLeast))
	}
	if c.DotNet != "" {
		list = append(list, install.DotNetFramework(c.DotNet))
	}
	for _, path := range slices.Sorted(maps.Keys(c.FreeGB)) {
		list = append(list, install.FreeSpace(path, c.FreeGB[path]<<30))
	}
	for _, what := range c.Confirm {
		list = append(list, install.Confirmed(s.confirmations(), fmt.Sprintf("R14 %d: %s", year, what)))
	}
	return list, nil
}

func (s *site) confirmations() string { return filepath.Join(s.conf.State, "confirmations") }

// allowed vetoes an installer for which the machine is not as it must be.
func (i installer) allowed(ctx context.Context, r rollback.Release, cmd install.Command) error {
	if r == i.to {
		if _, err := i.requirements.Look(ctx); err != nil {
			return fmt.Errorf("R14: %w; aspupdate confirm takes a person's word", err)
		}
	}
	return cmd.Rights()
}

// runConfirm takes a person's word for something that R14 requires.
func runConfirm(_ context.Context, s *site, cmd *cli.Command) error {
	what, err := argument(cmd, "text, as the refusal quotes it")
	if err != nil {
		return err
	}
	known := func(text string) bool { _, rest, _ := strings.Cut(what, ": "); return rest == text }
	if !slices.ContainsFunc(s.conf.FirstOfYear.Confirm, known) {
		return fmt.Errorf("%w: first_of_year.confirm asks for no %q", errNothing, what)
	}
	return errors.Join(os.MkdirAll(s.conf.State, 0o700),
		install.Confirm(s.confirmations(), install.Confirmation{What: what, Who: cmd.String("who"), When: time.Now(), Note: cmd.String("note")}))
}

// machine looks at what an installer finds around it.
func (d *doctor) machine(ctx context.Context) {
	if err := install.NoRebootPending().Look(ctx); err != nil {
		d.warn("restart", "", "%v", err)
	} else {
		d.ok("restart", "", "none is pending")
	}
}
