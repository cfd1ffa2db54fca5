package site

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/version"
)

// A requirementsConfig has what the first version of a year requires (R14).
type requirementsConfig struct {
	System  string           `toml:"system"`  // name and version for install.System
	DotNet  string           `toml:"dotnet"`  // of the .NET Framework
	FreeGB  map[string]int64 `toml:"free_gb"` // by path
	Confirm []string         `toml:"confirm"` // what only a person can know
}

func (c requirementsConfig) check() error {
	if name, atLeast, _ := strings.Cut(c.System, " "); c.System != "" && (name == "" || atLeast == "") {
		return fmt.Errorf("first_of_year.system = %q: give a name and a version, such as \"debian 12\"", c.System)
	}
	return nil
}

// requirements returns the checklist of R14 for a version; confirmations are
// valid for the year of its number.
func (s *Site) requirements(to version.Version) (install.Checklist, error) {
	year, _, err := s.Config.Calendar.numbering.Month(to)
	if err != nil {
		return nil, err
	}
	c := s.Config.FirstOfYear
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
		list = append(list, hinted(install.Confirmed(s.confirmations(), fmt.Sprintf("R14 %d: %s", year, what))))
	}
	return list, nil
}

// hinted adds to the error of a check how to record a confirmation.
func hinted(c install.Check) install.Check {
	run := c.Run
	c.Run = func(ctx context.Context) error {
		if err := run(ctx); err != nil {
			return fmt.Errorf("%w; record it with aspupdate confirm", err)
		}
		return nil
	}
	return c
}

func (s *Site) confirmations() string { return filepath.Join(s.Config.State, "confirmations") }

// Confirm records a person's confirmation of something that R14 requires, in
// the words of the refusal. The error wraps [ErrNothing] if it is not required.
func (s *Site) Confirm(c install.Confirmation) error {
	_, rest, _ := strings.Cut(c.What, ": ")
	if !slices.Contains(s.Config.FirstOfYear.Confirm, rest) {
		return fmt.Errorf("%w: first_of_year.confirm does not have %q", ErrNothing, c.What)
	}
	return errors.Join(os.MkdirAll(s.Config.State, 0o700), install.Confirm(s.confirmations(), c))
}
