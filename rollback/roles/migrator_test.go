package roles_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

func TestR11MigratorRunsItsCommandUntilTheStructureFits(t *testing.T) {
	structure, failure := "7.12.100", error(nil)
	m := roles.Migrator{
		Command:   roles.Command{Argv: program("say", "restructured"), State: t.TempDir()},
		Structure: install.ProbeFunc(func(context.Context) (string, error) { return structure, failure }),
	}
	printed := ""
	m.Command.Output = func(text string) { printed += text }
	is, err := m.Migrated(t.Context(), "7.13.100")
	require.NoError(t, err)
	require.False(t, is)
	goesOn, err := m.Migrate(t.Context(), "7.13.100")
	require.NoError(t, err)
	require.False(t, goesOn)
	firstLine := func() string { line, _, _ := strings.Cut(printed, "\n"); return strings.TrimSpace(line) } // a test binary with -cover adds one
	require.Equal(t, "restructured", firstLine())
	m.Command.Argv, printed = program("say", "\x1b[2J\x8f\xe0\xae\xa2\xa5\xe0\xaa\xa0"), "" // in code page 866
	_, err = m.Migrate(t.Context(), "7.13.100")
	require.NoError(t, err)
	require.Equal(t, "[2JПроверка", firstLine())
	structure = "7.13.100"
	is, err = m.Migrated(t.Context(), "7.13.100")
	require.NoError(t, err)
	require.True(t, is)
	failure = errors.New("the database is being restructured")
	is, err = m.Migrated(t.Context(), "7.13.100")
	require.ErrorIs(t, err, failure)
	require.False(t, is)
}

func TestMigratorThatFailsOrGoesOn(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	m := roles.Migrator{Command: roles.Command{Argv: program("fail"), State: state}, GoesOn: true}
	_, err := m.Migrate(t.Context(), "7.13.100")
	require.Error(t, err)
	m.Command.Argv = program("say", "begun")
	goesOn, err := m.Migrate(t.Context(), "7.13.100")
	require.NoError(t, err)
	require.True(t, goesOn)
	goesOn, err = roles.Migrator{}.Migrate(t.Context(), "7.13.100")
	require.NoError(t, err)
	require.True(t, goesOn, "the application does it by itself")

	begun, failure := 0, errors.New("status 500")
	m = roles.Migrator{Start: func(context.Context) error { begun++; return failure }}
	_, err = m.Migrate(t.Context(), "7.13.100")
	require.ErrorIs(t, err, failure)
	failure = nil
	goesOn, err = m.Migrate(t.Context(), "7.13.100")
	require.NoError(t, err)
	require.False(t, goesOn)
	m.GoesOn = true
	goesOn, err = m.Migrate(t.Context(), "7.13.100")
	require.NoError(t, err)
	require.True(t, goesOn)
	m.Command.Argv = program("say", "begun")
	_, err = m.Migrate(t.Context(), "7.13.100")
	require.ErrorContains(t, err, "set Command or Start, not both")
	require.Equal(t, 3, begun)
}
