package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAnOldCopyOfTheStateLosesNothing copies the state directory in the middle of
// an update, lets users enter rows after the update's end, and puts the copy back.
// No command restores anything from it, and the printed lines lead out.
func TestAnOldCopyOfTheStateLosesNothing(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
fence_status = ['/usr/bin/test', '!', '-e', '${OWN}/closed']
[[directory]]
path = '${SITE}'`, "")
	s.installed("7.12.100")
	s.publish("7.12.200", "Setup", fmt.Sprintf("touch '%[1]s/held'\nwhile [ ! -e '%[1]s/go' ]; do sleep 0.02; done\necho 7.12.200 > $1/version\n", s.own))
	cmd := exec.Command(program, "update", "--config", s.config())
	cmd.Env = append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(s.own, "held")); return err == nil }, 30*time.Second, 10*time.Millisecond)
	state := filepath.Join(s.own, "state")
	copied := filepath.Join(s.own, "state.copy")
	require.Eventually(t, func() bool { // a file may come or go meanwhile
		return os.RemoveAll(copied) == nil && exec.Command("cp", "-a", state, copied).Run() == nil
	}, 30*time.Second, 10*time.Millisecond)
	s.write(filepath.Join(s.own, "go"), "")
	require.NoError(t, cmd.Wait())
	s.write(filepath.Join(s.site, "data"), "entered after the update\n")
	require.NoError(t, os.RemoveAll(state))
	require.NoError(t, os.Rename(copied, state))

	for _, command := range []string{"recover", "update", "status", "check", "doctor", "plan"} {
		code, out := s.run(command)
		require.Equal(t, exitStale, code, "%s: %s", command, out)
		require.NotContains(t, out, "journal is damaged")
	}
	require.Equal(t, "entered after the update\n", s.read("data"))
	f := s.followed(func() error {
		_, err := os.Stat(filepath.Join(s.own, "closed"))
		return absent(err)
	})
	f.repair = func(next string) {
		if strings.Contains(next, "move this one aside") {
			if err := os.Rename(state, state+".old"); !errors.Is(err, os.ErrNotExist) {
				require.NoError(t, err)
			}
		}
	}
	_, out := s.run("recover")
	f.follow(t, out)
	require.Equal(t, "entered after the update\n", s.read("data"))
	_, out = s.run("status")
	require.Contains(t, out, "committed 7.12.200")
}

// TestASiteMoves follows OPERATIONS.md: archive, backups and configuration are
// copied to another place, and the state is not.
func TestASiteMoves(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, "close = ['/bin/true']\nopen = ['/bin/true']\n[[directory]]\npath = '${SITE}'", "")
	s.installed("7.12.100")
	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
	code, out := s.run("update")
	require.Zero(t, code, out)

	moved := *s
	base := t.TempDir()
	moved.site, moved.own = filepath.Join(base, "site"), filepath.Join(base, "own")
	require.NoError(t, exec.Command("cp", "-a", s.site, moved.site).Run())
	require.NoError(t, os.Mkdir(moved.own, 0o755))
	for _, name := range []string{"archive", "backups"} {
		require.NoError(t, exec.Command("cp", "-a", filepath.Join(s.own, name), filepath.Join(moved.own, name)).Run())
	}
	text, err := os.ReadFile(s.config())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(moved.config(), []byte(strings.NewReplacer(s.own, moved.own, s.site, moved.site).Replace(string(text))), 0o600))
	code, out = moved.run("adopt", "--reason", "moved from the old machine")
	require.Zero(t, code, out)
	code, out = moved.run("doctor")
	require.Zero(t, code, out)
	s.publish("7.13.100", "Setup", "echo broken > $1/version\n")
	code, out = moved.run("update")
	require.Equal(t, exitRolledBack, code, out)
	require.Equal(t, "7.12.200\n", moved.read("version"))
	require.Equal(t, "7.12.200\n", s.read("version"))
}
