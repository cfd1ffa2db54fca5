package roles_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

func TestCommandGetsItsInputAndTheNamedVariables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	require.NoError(t, roles.Command{Argv: program("copy", file)}.Run(t.Context(), []byte("an event")))
	require.Equal(t, "an event", content(t, file))

	t.Setenv("ROLES_TEST_PASSWORD", "correct horse")
	c := roles.Command{Argv: program("variable", file, "ROLES_TEST_PASSWORD")}
	require.NoError(t, c.Run(t.Context(), nil))
	require.Equal(t, "an event", content(t, file), "a variable that is not named is not passed on")
	c.Environment = []string{"ROLES_TEST_PASSWORD", "ROLES_TEST_NOT_SET"}
	require.NoError(t, c.Run(t.Context(), nil))
	require.Equal(t, "an eventcorrect horse", content(t, file))
}

func TestCommandFails(t *testing.T) {
	require.ErrorContains(t, roles.Command{Argv: program("fail")}.Run(t.Context(), nil), "the mailer is down")
	require.ErrorContains(t, roles.Command{}.Run(t.Context(), nil), "set Argv")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, roles.Command{Argv: program("append", filepath.Join(t.TempDir(), "out"), "x")}.Run(ctx, nil))
}

func TestSwitchIsAFenceAndAnApplication(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	s := roles.Switch{
		Off: roles.Command{Argv: program("append", file, "off ")},
		On:  roles.Command{Argv: program("append", file, "on ")},
	}
	fence, app := rollback.Fence(s), rollback.Application(s)
	require.NoError(t, fence.Close(t.Context()))
	require.NoError(t, app.Stop(t.Context()))
	require.NoError(t, app.Start(t.Context()))
	require.NoError(t, fence.Open(t.Context()))
	require.Equal(t, "off off on on ", content(t, file))
}
