package main

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
)

// TestCtrlCReachesNoCommandOfTheOperator sends Ctrl-C to the whole process
// group, as a terminal does, while the application starts on the new version.
// The start command is not interrupted, and the release is committed.
func TestCtrlCReachesNoCommandOfTheOperator(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
close = ['/bin/true']
open = ['/bin/true']
stop = ['/bin/true']
start = ['/bin/sh', '-c', 'touch ${OWN}/starting; sleep 1']
[[directory]]
path = '${SITE}'`, "")
	s.installed("7.12.100")
	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
	cmd := exec.Command(program, "update", "--config", s.config())
	cmd.Env = append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password)
	cmd.SysProcAttr = process.OwnGroup()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(s.own, "starting")); return err == nil }, 20*time.Second, 5*time.Millisecond)
	interruptGroup(t, cmd.Process.Pid)
	require.NoError(t, <-ended, "%s", &output)
	require.Contains(t, output.String(), "stopping at the next safe point")
	_, out := s.run("status")
	require.Contains(t, out, "committed 7.12.200")
}

// TestCtrlCBeforeAnInstallerStarts sends Ctrl-C during a fetch, which has an
// exit code of its own.
func TestCtrlCBeforeAnInstallerStarts(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // a server that accepts connections and never answers
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	s := newScriptSite(t, "close = ['/bin/true']\nopen = ['/bin/true']\n[[directory]]\npath = '${SITE}'", "")
	text, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), strings.Replace(string(text), s.server.Addr, silent.Addr().String(), 1))
	cmd := exec.Command(program, "fetch", "--config", s.config())
	cmd.Env = append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password)
	cmd.SysProcAttr = process.OwnGroup()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	asked, err := silent.Accept()
	require.NoError(t, err)
	defer func() { _ = asked.Close() }()
	interruptGroup(t, cmd.Process.Pid)
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	require.True(t, ok, "%s", &output)
	require.Equal(t, exitAbandoned, exit.ExitCode(), "%s", &output)
	require.Contains(t, output.String(), "state: stopped before an installer was started")
	require.Contains(t, output.String(), "next: run it again later: aspupdate fetch --config "+s.config()+"\n")
}
