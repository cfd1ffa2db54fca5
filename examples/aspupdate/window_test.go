package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestR13HoldsForTheUpdateAfterARecovery kills an update that overrides R13.
// update then finishes the pending update at any time, but needs a window of its
// own for the next one.
func TestR13HoldsForTheUpdateAfterARecovery(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
close = ['/bin/sh', '-c', 'if [ -e ${OWN}/kill ]; then rm ${OWN}/kill; kill -9 PARENT; fi']
open = ['/bin/true']
[[directory]]
path = '${SITE}'`, "")
	text, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), strings.NewReplacer("PARENT", "$PPID",
		"any_time = 'a test'", "backup = '9h'\nchecks = '1h'\nrollback = '9h'").Replace(string(text)))
	old := s.publish("7.12.100", "Setup", "echo 7.12.100 > $1/version\n")
	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
	s.write(filepath.Join(s.site, "version"), "7.12.100\n")
	code, out := s.run("archive", "import", "--distribution", "АСП", "--version", "7.12.100", old)
	require.Zero(t, code, out)
	code, out = s.run("update")
	require.Equal(t, exitRefused, code, out)

	s.write(filepath.Join(s.own, "kill"), "")
	_, out = s.run("update", "--override", "R13", "--reason", "the support is on the phone")
	require.NoFileExists(t, filepath.Join(s.own, "kill"), out)
	code, out = s.run("update")
	require.Equal(t, exitRefused, code, out)
	require.Contains(t, out, "R13")
	installed, err := os.ReadFile(filepath.Join(s.site, "version"))
	require.NoError(t, err)
	require.Equal(t, "7.12.100\n", string(installed))
}
