package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNginxAsTheFence updates behind a file that nginx includes, here a program in nginx's place: an
// update that is committed, and one that fails.
func TestNginxAsTheFence(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
[application.nginx]
include = '${OWN}/../include'
test = ['/bin/true']
reload = ['/bin/cp', '${OWN}/../include', '${OWN}/../served']`, "")
	include, served := filepath.Join(s.own, "..", "include"), filepath.Join(s.own, "..", "served")
	require.NoError(t, os.WriteFile(include, []byte("# before\n"), 0o644))
	s.installed("7.12.100")
	behind := "grep -q 'return 503' " + served + " || exit 7\n"
	s.publish("7.13.100", "Setup", behind+"echo 7.13.100 > $1/version\n")
	open := func() {
		t.Helper()
		for _, path := range []string{include, served} {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, "# before\n", string(text))
		}
		code, out := s.run("status")
		require.Zero(t, code, out)
	}
	code, out := s.run("update", "--yes")
	require.Zero(t, code, out)
	open()
	s.publish("7.14.100", "Setup", behind+"exit 1\n")
	code, out = s.run("update", "--yes")
	require.Equal(t, exitRolledBack, code, out)
	s.last = ""
	open()

	// Closed by hand, with nothing pending.
	require.NoError(t, os.WriteFile(include, []byte("# Users are kept out by aspupdate, which puts back what was here.\n"), 0o644))
	code, out = s.run("status")
	require.Equal(t, exitClosed, code, out)
	code, out = s.run("open", "--reason", "a test")
	require.Zero(t, code, out)
	open()
}
