package roles_test

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/version"
)

// An uninstaller that returns early and goes on in a copy of itself would remove
// what is installed next.
func TestRemoveLastsUntilItsLastProcessEnds(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "removed")
	i := w.installers(archive.Item{}, w.add(t, "7.13.100", version.Setup, "7.13.100"))
	i.Remove = roles.Command{Argv: program("leave", file, "removed")}
	require.NoError(t, i.Role().(removes).Remove(t.Context(), rollback.Release{}))
	require.Equal(t, "removed", content(t, file))
}

// What an updater left when it died is waited for before anything is decided: a
// command that closes the entry later on would close it for good.
func TestCommandsOfADeadUpdaterAreSettled(t *testing.T) {
	type settler interface {
		Settle(ctx context.Context) (finished bool, err error)
	}
	for name, role := range map[string]func(state string) any{
		"switch":      func(state string) any { return roles.Switch{Off: roles.Command{State: state}} },
		"fence":       func(state string) any { return roles.Fence(roles.Switch{On: roles.Command{State: state}}) },
		"application": func(state string) any { return roles.Application(roles.Switch{Off: roles.Command{State: state}}) },
		"data":        func(state string) any { return roles.Data{State: state} },
		"migrator":    func(state string) any { return roles.Migrator{Command: roles.Command{State: state}} },
		"installer": func(state string) any {
			return roles.Installers{Runner: &install.Runner{State: t.TempDir()}, Remove: roles.Command{Argv: program("say"), State: state}}.Role()
		},
	} {
		state, file := t.TempDir(), filepath.Join(t.TempDir(), "out")
		argv := program("off", state, file, "closed")
		updater := exec.Command(argv[0], argv[1:]...)
		require.NoError(t, updater.Start())
		require.Eventually(t, func() bool {
			found, _ := filepath.Glob(filepath.Join(state, "*.json"))
			return len(found) > 0
		}, 30*time.Second, time.Millisecond)
		require.NoError(t, updater.Process.Kill())
		require.Error(t, updater.Wait())
		_, err := role(state).(settler).Settle(t.Context())
		require.NoError(t, err)
		before := content(t, file)
		time.Sleep(1500 * time.Millisecond)
		require.Equal(t, before, content(t, file), "%s: it goes on afterwards", name)
	}
}
