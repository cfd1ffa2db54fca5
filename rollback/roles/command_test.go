package roles_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

func TestCommandGetsItsInputAndTheNamedVariables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	require.NoError(t, roles.Command{Argv: program("copy", file), State: t.TempDir()}.Run(t.Context(), []byte("an event")))
	require.Equal(t, "an event", content(t, file))

	t.Setenv("ROLES_TEST_PASSWORD", "correct horse")
	c := roles.Command{Argv: program("variable", file, "ROLES_TEST_PASSWORD"), State: t.TempDir()}
	require.NoError(t, c.Run(t.Context(), nil))
	require.Equal(t, "an event", content(t, file), "a variable that is not named is not passed on")
	c.Environment = []string{"ROLES_TEST_PASSWORD", "ROLES_TEST_NOT_SET"}
	require.NoError(t, c.Run(t.Context(), nil))
	require.Equal(t, "an eventcorrect horse", content(t, file))
}

func TestCommandFails(t *testing.T) {
	require.ErrorContains(t, roles.Command{Argv: program("fail"), State: t.TempDir()}.Run(t.Context(), nil), "the mailer is down")
	require.ErrorContains(t, roles.Command{}.Run(t.Context(), nil), "set Argv")
	require.ErrorContains(t, roles.Command{Argv: program("say", "x")}.Run(t.Context(), nil), "set State", "it would not be found after a crash")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, roles.Command{Argv: program("append", filepath.Join(t.TempDir(), "out"), "x"), State: t.TempDir()}.Run(ctx, nil))
}

func TestSwitchIsAFenceAndAnApplication(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	s := roles.Switch{
		Off: roles.Command{Argv: program("append", file, "off "), State: t.TempDir()},
		On:  roles.Command{Argv: program("append", file, "on "), State: t.TempDir()},
	}
	fence, app := rollback.Fence(s), rollback.Application(s)
	require.NoError(t, fence.Close(t.Context()))
	require.NoError(t, app.Stop(t.Context()))
	require.NoError(t, app.Start(t.Context()))
	require.NoError(t, fence.Open(t.Context()))
	require.Equal(t, "off off on on ", content(t, file))
}

// What is so already is not done again, where a command says what is so.
func TestSwitchAsksItsStatus(t *testing.T) {
	dir := t.TempDir()
	file, off := filepath.Join(dir, "out"), filepath.Join(dir, "off")
	s := roles.Switch{
		Off:    roles.Command{Argv: program("append", file, "off "), State: dir},
		On:     roles.Command{Argv: program("append", file, "on "), State: dir},
		Status: roles.Command{Argv: program("absent", off), State: dir},
	}
	closed, err := s.Closed(t.Context())
	require.NoError(t, err)
	require.False(t, closed)
	require.NoError(t, s.Open(t.Context()))
	require.NoError(t, s.Start(t.Context()))
	require.Empty(t, content(t, file), "it is on")
	require.NoError(t, s.Close(t.Context()))
	require.Equal(t, "off ", content(t, file))
	require.NoError(t, os.WriteFile(off, nil, 0o600))
	require.NoError(t, s.Stop(t.Context()))
	require.Equal(t, "off ", content(t, file))
	fence := roles.Fence(s, roles.OpenOnly(s))
	u := rollback.Update{Fence: fence}
	for _, part := range u.FenceState(t.Context()) {
		require.Equal(t, "closed", part.State)
	}
	require.NoError(t, s.Open(t.Context()))
	require.Equal(t, "off on ", content(t, file))

	require.NoError(t, os.Remove(off))
	require.Equal(t, "open", u.FenceState(t.Context())[0].State)
	require.Equal(t, "unknown", u.FenceState(t.Context())[1].State, "it is open while the update keeps users out")

	s.Status = roles.Command{Argv: program("restart"), State: dir} // neither
	_, err = s.Closed(t.Context())
	require.Error(t, err)
	require.NoError(t, s.Open(t.Context()))
	require.Equal(t, "off on on ", content(t, file), "what is not known is done")
	s.Status = roles.Command{}
	_, err = s.Closed(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
}
