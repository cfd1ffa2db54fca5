package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
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
