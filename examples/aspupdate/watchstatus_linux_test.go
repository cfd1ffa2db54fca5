package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// A terminalText is what was written to a terminal.
type terminalText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (x *terminalText) read(terminal *os.File) {
	buffer := make([]byte, 4096)
	for {
		n, err := terminal.Read(buffer)
		x.mu.Lock()
		_, _ = x.text.Write(buffer[:n])
		x.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (x *terminalText) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.String()
}

// On a terminal status --watch shows what changes, in place, until it is stopped. Then the terminal
// is as it was, with the last status in it.
func TestStatusIsWatched(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]syscall.Signal{"Ctrl-C": 0, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			config := filepath.Join(dir, "aspupdate.toml")
			require.NoError(t, os.WriteFile(config, []byte(goodConfig(dir)), 0o600))
			terminal, user := openTerminal(t)
			defer func() { _ = terminal.Close() }()
			cmd := exec.Command(program, "status", "--watch", "--last", "2", "--config", config)
			cmd.Env = append(os.Environ(), "TERM=xterm", "LC_ALL=en")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = user, user, user
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			require.NoError(t, cmd.Start())
			require.NoError(t, user.Close())
			seen := &terminalText{}
			go seen.read(terminal)
			shows := func(text string) {
				t.Helper()
				require.Eventually(t, func() bool { return strings.Contains(seen.String(), text) }, time.Minute, 10*time.Millisecond, "%s", text)
			}
			shows("no update has ended yet")
			plan := &rollback.Plan{Parts: []rollback.PlanPart{{Name: "АСП", To: rollback.Release{Version: "7.12.100"}}}}
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "state"), 0o700))
			require.NoError(t, writeJournal(filepath.Join(dir, "state"), record{Update: "u1", Step: "intent", Phase: "done", Way: "forward", Plan: plan}))
			shows("pending: update u1")
			if stop == 0 {
				_, err := terminal.Write([]byte{3})
				require.NoError(t, err)
			} else {
				require.NoError(t, cmd.Process.Signal(stop))
			}
			require.NoError(t, cmd.Wait(), "being stopped is no error")
			shows(usualScreen)
			text := seen.String()
			require.Equal(t, 1, strings.Count(text, ownScreen))
			_, after, _ := strings.Cut(text, usualScreen)
			require.Contains(t, after, "pending: update u1")
			require.NotContains(t, after, "\x1b")
			require.NotContains(t, text, "safe point", "there is nothing to wait for")
		})
	}
}
