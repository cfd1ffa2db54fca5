package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPersonMustDecide takes a release whose installer wrecks the backups
// besides not working: no way back is left, a person is asked, nothing else
// goes on, and once things are put right by hand the person's word is taken
// only if the probe agrees.
func TestPersonMustDecide(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
[[folder]]
path = '${SITE}'`, "")
	closed := filepath.Join(s.own, "closed")
	good := func(version string) string { return "echo " + version + " > $1/version\n" }
	old := s.publish("7.12.100", "Setup", good("7.12.100"))
	s.publish("7.12.200", "Setup", "echo broken > $1/version\nfind $2 -name '*.zst' -exec sh -c 'chmod 600 $1; echo > $1' - {} ';'\n")
	s.write(filepath.Join(s.site, "version"), "7.12.100\n")
	s.write(filepath.Join(s.site, "config"), "the site's own")
	code, out := s.run("import", "--distribution", "АСП", "--version", "7.12.100", old)
	require.Zero(t, code, out)

	code, out = s.run("update")
	require.Equal(t, exitOperator, code, out)
	require.Contains(t, out, "a person must decide")
	require.Contains(t, out, "recover --retry", "what to do next")
	require.FileExists(t, closed, "users are kept out")

	for _, blocked := range []string{"update", "recover"} {
		code, out = s.run(blocked)
		require.Equal(t, exitOperator, code, out)
	}
	code, out = s.run("plan")
	require.Equal(t, exitRefused, code, out)
	_, out = s.run("status")
	require.Contains(t, out, "needs-operator")
	code, out = s.run("recover", "--accept", "looks fine")
	require.Equal(t, exitRefused, code, out)
	require.FileExists(t, closed)

	s.write(filepath.Join(s.site, "version"), "7.12.100\n")
	code, out = s.run("recover", "--accept", "put back with the support")
	require.Zero(t, code, out)
	require.NoFileExists(t, closed)

	// The release stays out until a person lets it in, or another one comes.
	code, out = s.run("update")
	require.Equal(t, exitRefused, code, out)
	require.Contains(t, out, "lift its quarantine")
	code, out = s.run("lift", "--distribution", "АСП", "--reason", "the vendor says it was us", "7.12.200")
	require.Zero(t, code, out)
	s.publish("7.12.300", "Setup", good("7.12.300"))
	code, out = s.run("update")
	require.Zero(t, code, out)
	_, out = s.run("status")
	require.Contains(t, out, "committed 7.12.300")
	require.NotContains(t, out, "quarantined")
	require.Equal(t, "the site's own", s.read("config"))
}
