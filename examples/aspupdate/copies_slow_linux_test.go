package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// TestASecondPlaceDelaysNoUpdate stops a copy midway, as a share does that has stopped answering: plan,
// update, rollback and status go on without it, and it is made once the share answers.
func TestASecondPlaceDelaysNoUpdate(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
[[directory]]
path = '${SITE}'`, "")
	place := filepath.Join(s.own, "second")
	require.NoError(t, os.Mkdir(place, 0o700))
	config, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), string(config)+fmt.Sprintf(`
[copies]
dir = '%s'
recipients = ['age1j4c094j94gu7palmypgqh2sgmrxv8k0wmwn94q6hlmyuyuddc3xscfmwyn']
same_volume = 'a test'
`, place))
	require.NoError(t, os.Chmod(s.config(), 0o600))
	s.installed("7.12.100")

	var cmd *exec.Cmd
	var ended chan error
	for stopped := false; !stopped; { // a copy that was quicker than this test is made again
		for _, dir := range []string{place, filepath.Join(s.own, "state", "copies")} {
			require.NoError(t, os.RemoveAll(dir))
		}
		require.NoError(t, os.Mkdir(place, 0o700))
		cmd = exec.Command(program, "copies", "run", "--config", s.config())
		cmd.Env = append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password)
		require.NoError(t, cmd.Start())
		ended = make(chan error, 1)
		go func(cmd *exec.Cmd, ended chan<- error) { ended <- cmd.Wait() }(cmd, ended)
		for !stopped && len(ended) == 0 {
			holder, _ := rollback.LockHolder(filepath.Join(s.own, "state", "copies"))
			stopped = holder != nil && cmd.Process.Signal(syscall.SIGSTOP) == nil && len(ended) == 0
		}
	}
	defer func() { _ = cmd.Process.Kill() }()

	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
	code, text := s.run("update")
	require.Zero(t, code, text)
	s.publish("7.12.300", "Setup", "echo broken > $1/version\n")
	code, text = s.run("update")
	require.Equal(t, exitRolledBack, code, text)
	require.Equal(t, "7.12.200\n", s.read("version"))
	require.Contains(t, text, "copies: ", "the plan shows that some are missing")
	code, text = s.run("status")
	require.Zero(t, code, text)

	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	require.NoError(t, <-ended)
	code, text = s.run("copies", "run")
	require.Zero(t, code, text)
	code, text = s.run("copies", "verify")
	require.Zero(t, code, text)
}
