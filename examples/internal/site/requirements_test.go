package site

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
)

// What the first version of a year requires is no matter of the version
// before: a way back must never wait for it.
func TestR14BlocksNoWayBack(t *testing.T) {
	script := filepath.Join(t.TempDir(), "setup")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600))
	cmd := install.Command{Path: script, Kind: install.Script}
	from, to := rollback.Release{Version: "7.36.200"}, rollback.Release{Version: "8.01.100"}
	none := errors.New("none is installed")
	i := installer{to: to, requirements: install.Checklist{{Name: "framework", Look: func(context.Context) error { return none }}}}
	require.ErrorIs(t, i.allowed(t.Context(), to, cmd), none)
	require.NoError(t, i.allowed(t.Context(), from, cmd))
}

func TestR14RequirementsAreOfTheYear(t *testing.T) {
	dir := t.TempDir()
	s := &Site{Config: &Config{State: dir, FirstOfYear: requirementsConfig{
		System: "debian 12", DotNet: "4.8", FreeGB: map[string]int64{dir: 1}, Confirm: []string{"read"},
	}}}
	list, err := s.requirements("8.01.100")
	require.NoError(t, err)
	require.Len(t, list, 4)
	require.ErrorContains(t, list[3].Look(t.Context()), `"R14 2022: read"`)
	list, err = s.requirements("7.36.900")
	require.NoError(t, err)
	require.ErrorContains(t, list[3].Look(t.Context()), `"R14 2021: read"`)
	_, err = s.requirements("8.99.100")
	require.Error(t, err, "a version of no month")
	empty, err := (&Site{Config: &Config{}}).requirements("8.01.100")
	require.NoError(t, err)
	require.Empty(t, empty)
}
