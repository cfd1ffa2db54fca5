//go:build unix

package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
)

// interruptGroup sends SIGINT to a process group, as a terminal does for Ctrl-C.
func interruptGroup(t *testing.T, group int) {
	require.NoError(t, syscall.Kill(-group, syscall.SIGINT))
}

// TestCtrlCTwiceStopsImmediately presses Ctrl-C twice: the program exits with
// its own code and leaves the rest to recover, even if it was started in the
// background.
func TestCtrlCTwiceStopsImmediately(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
close = ['/bin/true']
open = ['/bin/true']
stop = ['/bin/true']
start = ['/bin/sh', '-c', 'touch ${OWN}/starting; sleep 2']
[[directory]]
path = '${SITE}'`, "")
	s.installed("7.12.100")
	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
	// A shell makes its background programs ignore SIGINT.
	cmd := exec.Command("/bin/sh", "-c", `trap '' INT; exec "$0" update --config "$1"`, program, s.config())
	cmd.Env = append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password)
	cmd.SysProcAttr = process.OwnGroup()
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(s.own, "starting")); return err == nil }, 20*time.Second, 5*time.Millisecond)
	interruptGroup(t, cmd.Process.Pid)
	lines := bufio.NewScanner(stderr)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "stopping at the next safe point")
	interruptGroup(t, cmd.Process.Pid)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "stopped immediately")
	for lines.Scan() {
	}
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	require.True(t, ok)
	require.Equal(t, exitInterrupted, exit.ExitCode())
	code, out := s.run("recover")
	require.Zero(t, code, out)
	_, out = s.run("status")
	require.Contains(t, out, "committed 7.12.200")
}
