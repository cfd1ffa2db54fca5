package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// TestPersonMustDecide updates to a broken release whose installer also damages
// the backups. No rollback is possible, so an operator must decide and every
// other command is refused. After a repair by hand, recover --accept succeeds
// only if the probe agrees.
func TestPersonMustDecide(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
[[directory]]
path = '${SITE}'`, "")
	closed := filepath.Join(s.own, "closed")
	good := func(version string) string { return "echo " + version + " > $1/version\n" }
	old := s.publish("7.12.100", "Setup", good("7.12.100"))
	s.publish("7.12.200", "Setup", "echo broken > $1/version\nfind $2 -name '*.zst' -exec sh -c 'chmod 600 $1; echo > $1' - {} ';'\n")
	s.write(filepath.Join(s.site, "version"), "7.12.100\n")
	s.write(filepath.Join(s.site, "config"), "the site's own")
	code, out := s.run("archive", "import", "--distribution", "АСП", "--version", "7.12.100", old)
	require.Zero(t, code, out)

	code, out = s.run("update")
	require.Equal(t, exitOperator, code, out)
	require.Contains(t, out, "a person must decide")
	require.Contains(t, out, "recover --retry", "what to do next")
	require.FileExists(t, closed, "users are kept out")
	_, _, errs := aspupdate(t, []string{"SITE_FTP_PASSWORD=" + s.server.Password}, "recover", "--config", s.config())
	require.Contains(t, errs, "then aspupdate recover --config "+s.config()+" --retry REASON;", "exactly what to type next")
	_, document, _ := aspupdate(t, []string{"SITE_FTP_PASSWORD=" + s.server.Password}, "recover", "--json", "--config", s.config())
	require.Contains(t, document, "aspupdate recover --config "+s.config()+" --accept REASON\"", "the same in the document")

	for _, blocked := range []string{"update", "recover"} {
		code, out = s.run(blocked)
		require.Equal(t, exitOperator, code, out)
	}
	code, out = s.run("plan")
	require.Equal(t, exitOperator, code, out)
	_, out = s.run("status")
	require.Contains(t, out, "a person must decide")
	require.Contains(t, out, "next: fix the cause, then aspupdate recover --retry REASON;")
	for _, text := range []string{out, s.output("plan")} {
		require.NotContains(t, text, "recover it first", "that would not help")
	}
	code, out = s.run("recover", "--accept", "everything works")
	require.Equal(t, exitRefused, code, out)
	require.FileExists(t, closed)

	s.write(filepath.Join(s.site, "version"), "7.12.100\n")
	code, out = s.run("recover", "--accept", "put back with the support")
	require.Zero(t, code, out)
	require.NoFileExists(t, closed)

	// The release stays quarantined until it is lifted; another release is not.
	code, out = s.run("update")
	require.Equal(t, exitRefused, code, out)
	require.Contains(t, out, "lift its quarantine")
	code, out = s.run("lift", "--distribution", "АСП", "--reason", "the error was on our side", "7.12.200")
	require.Zero(t, code, out)
	s.publish("7.12.300", "Setup", good("7.12.300"))
	code, out = s.run("update")
	require.Zero(t, code, out)
	_, out = s.run("status")
	require.Contains(t, out, "committed 7.12.300")
	require.NotContains(t, out, "quarantined")
	require.Equal(t, "the site's own", s.read("config"))
}

func TestPendingUpdateWithOtherDistributionsIsRefused(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, "close = ['/bin/true']\nopen = ['/bin/true']", "")
	state := filepath.Join(s.own, "state")
	require.NoError(t, os.Mkdir(state, 0o700))
	part := func(name string) rollback.PlanPart {
		return rollback.PlanPart{Name: name, From: rollback.Release{Version: "7.12.100"}, To: rollback.Release{Version: "7.12.200"}}
	}
	require.NoError(t, writeJournal(state, record{Update: "u", Step: "intent", Phase: "done", Way: "forward",
		Plan: rollback.Plan{Parts: []rollback.PlanPart{part("АСП"), part("Опека")}}}))
	code, out := s.run("recover")
	require.Contains(t, out, "the update has 2 distributions, the configuration 1")
	require.NotEqual(t, exitUsage, code, "that code means that nothing was changed")
	require.Contains(t, out, "next: correct the configuration as the message says, then aspupdate recover\n")
	s.repair = func(string) { // the configuration with which it was begun, in which nothing was installed yet
		_ = os.RemoveAll(state)
	}
}
