package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestIISAsTheFence updates behind the rules and the application pools of IIS, here a program in
// appcmd's place: an update that is committed, one that fails, and one that lacks a pool.
func TestIISAsTheFence(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
[application.iis]
site = 'asp'
pools = ['asp', 'asp-report']
appcmd = '${OWN}/../iis/appcmd'`, "")
	iis := filepath.Join(s.own, "..", "iis")
	for _, dir := range []string{"listed", "pools/asp", "pools/asp-report"} {
		require.NoError(t, os.MkdirAll(filepath.Join(iis, dir), 0o700))
	}
	appcmd, err := os.ReadFile("../internal/site/testdata/appcmd.sh")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(iis, "appcmd"), appcmd, 0o700))
	for path, text := range map[string]string{
		"pools/asp/autoStart": "true", "pools/asp/state": "Started",
		"pools/asp-report/autoStart": "false", "pools/asp-report/state": "Stopped",
	} {
		s.write(filepath.Join(iis, path), text+"\n")
	}
	// as fails unless users are in, and the pools are as they were.
	as := func() {
		t.Helper()
		require.NoFileExists(t, filepath.Join(iis, "closed"))
		listed, err := os.ReadDir(filepath.Join(iis, "listed"))
		require.NoError(t, err)
		require.Empty(t, listed)
		var have []string
		for _, path := range []string{"pools/asp/autoStart", "pools/asp/state", "pools/asp-report/autoStart", "pools/asp-report/state"} {
			text, err := os.ReadFile(filepath.Join(iis, path))
			require.NoError(t, err)
			have = append(have, strings.TrimSpace(string(text)))
		}
		require.Equal(t, []string{"true", "Started", "false", "Stopped"}, have)
		code, out := s.run("status")
		require.Zero(t, code, out)
	}
	s.installed("7.12.100")
	code, out := s.run("doctor")
	require.Zero(t, code, out)
	require.Contains(t, out, "pool asp: started")

	behind := "cd " + iis + `
for pool in asp asp-report; do
	[ "$(cat pools/$pool/autoStart pools/$pool/state)" = "false
Stopped" ] && [ ! -e pools/$pool/process ] || exit 7
done
[ -e closed ] && [ -e listed/127.0.0.1 ] || exit 8
`
	s.publish("7.13.100", "Setup", behind+"echo 7.13.100 > $1/version\n")
	code, out = s.run("update", "--yes")
	require.Zero(t, code, out)
	require.Equal(t, "7.13.100\n", s.read("version"))
	as()

	s.publish("7.14.100", "Setup", behind+"echo broken > $1/version; exit 1\n")
	code, out = s.run("update", "--yes")
	require.Equal(t, exitRolledBack, code, out)
	require.Contains(t, out, "exit code 1")
	require.Equal(t, "7.13.100\n", s.read("version"))
	as()

	// What must be stopped is not there: seen while users are in.
	s.publish("7.15.100", "Setup", behind+"echo 7.15.100 > $1/version\n")
	gone := filepath.Join(iis, "gone")
	require.NoError(t, os.Rename(filepath.Join(iis, "pools", "asp-report"), gone))
	code, out = s.run("doctor")
	require.Equal(t, exitUsage, code, out)
	require.Contains(t, out, `IIS has no application pool "asp-report"`)
	asked, err := os.ReadFile(filepath.Join(iis, "asked"))
	require.NoError(t, err)
	code, out = s.run("update", "--yes")
	require.Equal(t, exitUsage, code, out)
	require.Contains(t, out, `IIS has no application pool "asp-report"`)
	now, err := os.ReadFile(filepath.Join(iis, "asked"))
	require.NoError(t, err)
	require.NotContains(t, strings.TrimPrefix(string(now), string(asked)), "set config", "users stay in")
	require.NotContains(t, strings.TrimPrefix(string(now), string(asked)), "apppool /apppool.name", "and the application runs")
	require.NoError(t, os.Rename(gone, filepath.Join(iis, "pools", "asp-report")))
	code, out = s.run("update", "--yes")
	require.Zero(t, code, out)
	as()
}
