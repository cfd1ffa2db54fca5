package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestR3FirstInstallation installs FullSetup where nothing is installed; a
// broken one is rolled back by removing it.
func TestR3FirstInstallation(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, "no_fence = 'no users yet'", "remove = ['/bin/rm', '-f', '${SITE}/version', '${SITE}/example']")
	publish := func(version, probed string) {
		for _, variant := range []string{"Setup", "FullSetup"} {
			s.publish(version, variant, "echo "+variant+" > $1/example\necho "+probed+" > $1/version\n")
		}
	}

	publish("7.12.100", "wrong")
	code, out := s.run("update")
	require.Equal(t, exitOther, code)
	require.Contains(t, out, "nothing is installed", "this is not guessed")
	require.Contains(t, out, "--first-installation")
	code, out = s.run("update", "--first-installation")
	require.Equal(t, exitRolledBack, code, out)
	left, err := os.ReadDir(s.site)
	require.NoError(t, err)
	require.Empty(t, left, "the broken installation is removed")

	publish("7.12.200", "7.12.200")
	code, out = s.run("update", "--first-installation")
	require.Zero(t, code, out)
	require.Equal(t, "FullSetup\n", s.read("example"))
	for _, variant := range []string{"Setup", "FullSetup"} {
		found, err := filepath.Glob(filepath.Join(s.own, "archive", "АСП", "7.12.200", variant+"-*"))
		require.NoError(t, err)
		require.Len(t, found, 1, "R3, R10: Setup is archived with every FullSetup")
	}

	publish("7.13.100", "7.13.100")
	code, out = s.run("update", "--first-installation")
	require.Equal(t, exitRefused, code, out)
	require.Contains(t, out, "R3", "FullSetup over an installation is refused")
	_, out = s.run("status")
	require.Contains(t, out, "committed 7.12.200")
	code, out = s.run("update")
	require.Zero(t, code, out)
	require.Equal(t, "Setup\n", s.read("example"), "R3: every later update installs Setup")
}

// TestR3FirstInstallationCreatesItsData installs FullSetup where neither the
// SQLite file nor the PostgreSQL database exist that it creates. It is broken
// first, then killed, then good; from then on the data are backed up.
func TestR3FirstInstallationCreatesItsData(t *testing.T) {
	t.Parallel()
	cluster := realtest.Postgres(t)
	s := newScriptSite(t, `close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
fence_status = ['/usr/bin/test', '!', '-e', '${OWN}/closed']
[[sqlite]]
path = '${SITE}/asp.db'
[[postgres]]
name = 'asp'
uri_file = '${OWN}/uri'`, "remove = ['/bin/sh', '${OWN}/remove.sh']\nenvironment = ['PGHOST', 'PGPORT', 'PGUSER', 'PGPASSWORD']")
	s.env = []string{"PGHOST=127.0.0.1", fmt.Sprint("PGPORT=", cluster.Port), "PGUSER=postgres", "PGPASSWORD=" + cluster.Password}
	require.NoError(t, os.WriteFile(filepath.Join(s.own, "uri"), []byte(cluster.Admin("asp")), 0o600))
	psql := filepath.Join(cluster.Bin, "psql")
	s.write(filepath.Join(s.own, "remove.sh"), fmt.Sprintf("rm -f '%[1]s/version' '%[1]s/asp.db'\n'%[2]s' -Xqd postgres -c 'DROP DATABASE IF EXISTS asp'\n", s.site, psql))
	full := func(probed string) string {
		return fmt.Sprintf(`set -e
'%[1]s' sqlite "$1/asp.db" 'CREATE TABLE entry (id INTEGER)'
'%[2]s' -Xqd postgres -c 'CREATE DATABASE asp'
'%[2]s' -Xqd asp -c 'CREATE TABLE entry (id int)'
echo %[3]s > $1/version
while [ -e '%[4]s/hold' ]; do touch '%[4]s/held'; sleep 0.02; done
`, os.Args[0], psql, probed, s.own)
	}
	publish := func(version, probed string) {
		s.publish(version, "FullSetup", full(probed))
		s.publish(version, "Setup", "echo "+version+" > $1/version\n")
	}

	publish("7.12.100", "wrong")
	code, out := s.run("doctor")
	require.Zero(t, code, out)
	require.Contains(t, out, "postgres asp: does not exist yet: FullSetup must create it")
	code, out = s.run("update", "--first-installation")
	require.Equal(t, exitRolledBack, code, out)
	require.NoFileExists(t, filepath.Join(s.site, "asp.db"))

	publish("7.12.200", "7.12.200")
	s.write(filepath.Join(s.own, "hold"), "")
	cmd := exec.Command(program, "update", "--first-installation", "--config", s.config())
	cmd.Env = append(append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password), s.env...)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(s.own, "held")); return err == nil }, 30*time.Second, 10*time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.NoError(t, os.Remove(filepath.Join(s.own, "hold")))
	code, out = s.run("recover")
	require.Zero(t, code, out)
	require.NoFileExists(t, filepath.Join(s.own, "closed"))
	code, out = s.run("status")
	require.Zero(t, code, out)
	require.Contains(t, out, "committed 7.12.200")

	publish("7.13.100", "7.13.100")
	code, out = s.run("update")
	require.Zero(t, code, out)
	require.Contains(t, out, "snapshot sqlite asp.db")
	require.Contains(t, out, "snapshot postgres asp")
}
