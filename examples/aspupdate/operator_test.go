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
	"github.com/aspupdate/aspupdate/rollback"
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
	code, out := s.run("archive", "import", "--distribution", "АСП", "--version", "7.12.100", old)
	require.Zero(t, code, out)

	code, out = s.run("update")
	require.Equal(t, exitOperator, code, out)
	require.Contains(t, out, "a person must decide")
	require.Contains(t, out, "recover --retry", "what to do next")
	require.FileExists(t, closed, "users are kept out")
	_, _, said := aspupdate(t, []string{"SITE_FTP_PASSWORD=" + s.server.Password}, "recover", "--config", s.config())
	require.Contains(t, said, "then aspupdate recover --config "+s.config()+" --retry REASON;", "exactly what to type next")
	_, said, _ = aspupdate(t, []string{"SITE_FTP_PASSWORD=" + s.server.Password}, "recover", "--json", "--config", s.config())
	require.Contains(t, said, "aspupdate recover --config "+s.config()+" --accept REASON\"", "machines are told the same")

	for _, blocked := range []string{"update", "recover"} {
		code, out = s.run(blocked)
		require.Equal(t, exitOperator, code, out)
	}
	code, out = s.run("plan")
	require.Equal(t, exitOperator, code, out)
	_, out = s.run("status")
	require.Contains(t, out, "a person must decide")
	require.Contains(t, out, "next: fix the cause, then aspupdate recover --retry REASON;")
	for _, said := range []string{out, s.said("plan")} {
		require.NotContains(t, said, "recover it first", "it would not help")
	}
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

// TestR13HoldsForTheUpdateAfterARecovery kills an update that was let out of
// the window by name: what is pending is brought to its end at any time, the
// update that follows asks for its own window again.
func TestR13HoldsForTheUpdateAfterARecovery(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
close = ['/bin/sh', '-c', 'if [ -e ${OWN}/kill ]; then rm ${OWN}/kill; kill -9 PARENT; fi']
open = ['/bin/true']
[[folder]]
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

func TestPendingUpdateWithOtherDistributionsIsRefused(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, "close = ['/bin/true']\nopen = ['/bin/true']", "")
	state := filepath.Join(s.own, "state")
	require.NoError(t, os.Mkdir(state, 0o700))
	j, err := rollback.OpenJournal(state)
	require.NoError(t, err)
	part := func(name string) rollback.PlanPart {
		return rollback.PlanPart{Name: name, From: rollback.Release{Version: "7.12.100"}, To: rollback.Release{Version: "7.12.200"}}
	}
	require.NoError(t, j.Append(rollback.Record{Update: "u", Step: rollback.StepIntent, Phase: rollback.Done, Direction: rollback.Forward,
		Plan: &rollback.RecordedPlan{Plan: rollback.Plan{Parts: []rollback.PlanPart{part("АСП"), part("Опека")}}}}))
	require.NoError(t, j.Close())
	code, out := s.run("recover")
	require.Contains(t, out, "the update has 2 distributions, the configuration 1")
	require.NotEqual(t, exitUsage, code, "that would say that nothing was changed")
}

// TestCtrlCReachesNoCommandOfTheOperator types Ctrl-C, which a terminal sends
// to the whole group, while the application starts on the new version: the
// release is healthy and stays.
func TestCtrlCReachesNoCommandOfTheOperator(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
close = ['/bin/true']
open = ['/bin/true']
stop = ['/bin/true']
start = ['/bin/sh', '-c', 'touch ${OWN}/starting; sleep 1']
[[folder]]
path = '${SITE}'`, "")
	s.installed("7.12.100")
	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
	cmd := exec.Command(program, "update", "--config", s.config())
	cmd.Env = append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password)
	cmd.SysProcAttr = process.OwnGroup()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(s.own, "starting")); return err == nil }, 20*time.Second, 5*time.Millisecond)
	interruptGroup(t, cmd.Process.Pid)
	require.NoError(t, <-ended, "%s", &said)
	require.Contains(t, said.String(), "stopping at the next safe point")
	_, out := s.run("status")
	require.Contains(t, out, "committed 7.12.200")
}

// TestCtrlCWhereNothingBegan has its own exit code, and says so.
func TestCtrlCWhereNothingBegan(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // a server that takes connections and says nothing
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	s := newScriptSite(t, "close = ['/bin/true']\nopen = ['/bin/true']\n[[folder]]\npath = '${SITE}'", "")
	text, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), strings.Replace(string(text), s.server.Addr, silent.Addr().String(), 1))
	cmd := exec.Command(program, "fetch", "--config", s.config())
	cmd.Env = append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password)
	cmd.SysProcAttr = process.OwnGroup()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	asked, err := silent.Accept()
	require.NoError(t, err)
	defer func() { _ = asked.Close() }()
	interruptGroup(t, cmd.Process.Pid)
	exit, ok := errors.AsType[*exec.ExitError](cmd.Wait())
	require.True(t, ok, "%s", &said)
	require.Equal(t, exitAbandoned, exit.ExitCode(), "%s", &said)
	require.Contains(t, said.String(), "state: stopped before an installer was started")
	require.Contains(t, said.String(), "next: run it again later: aspupdate fetch --config "+s.config()+"\n")
}

// TestVersionInstalledByHandIsAdopted follows the support's hand-made
// installation: the journal knows another version, and a person says that
// this one counts.
func TestVersionInstalledByHandIsAdopted(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, "close = ['/bin/true']\nopen = ['/bin/true']\n[[folder]]\npath = '${SITE}'", "")
	s.installed("7.12.100")
	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
	code, out := s.run("update")
	require.Zero(t, code, out)

	s.installed("7.12.250")
	s.publish("7.12.300", "Setup", "echo 7.12.300 > $1/version\n")
	code, out = s.run("update")
	require.Equal(t, exitRefused, code, out)
	require.Contains(t, out, "adopt it")
	code, out = s.run("adopt", "--reason", "the support installed it by hand")
	require.Zero(t, code, out)
	code, out = s.run("update")
	require.Zero(t, code, out)
	_, out = s.run("status")
	require.Contains(t, out, "committed 7.12.300")
}

// TestFoldersAreCheckedBeforeAnythingIsFetched has the archive inside the
// application: nothing is put there first.
func TestFoldersAreCheckedBeforeAnythingIsFetched(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, "close = ['/bin/true']\nopen = ['/bin/true']\n[[folder]]\npath = '${SITE}'", "")
	s.installed("7.12.100")
	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
	archive := filepath.Join(s.site, "archive")
	require.NoError(t, os.Rename(filepath.Join(s.own, "archive"), archive))
	text, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), strings.Replace(string(text), s.own+"/archive", archive, 1))
	code, out := s.run("update")
	require.Equal(t, exitDirectories, code, out)
	require.NoDirExists(t, filepath.Join(archive, "АСП", "7.12.200"))
}

func TestPendingRestartHasItsOwnExitCode(t *testing.T) {
	err := (&job{show: &printer{}}).ended(rollback.Result{Outcome: rollback.AwaitingReboot}, nil)
	require.Equal(t, exitReboot, exitCode(err))
}
