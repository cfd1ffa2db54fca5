package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRehearsalNamesWhatCannotBeDoneTwice rehearses with PostgreSQL: everything is
// as before, and a command that fails when there is nothing to do is named, until
// a status command makes that unnecessary.
func TestRehearsalNamesWhatCannotBeDoneTwice(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	running := filepath.Join(s.dir, "running")
	require.NoError(t, os.WriteFile(running, nil, 0o600))
	configure := func(status string) {
		s.config = map[string]string{"[window]\n": fmt.Sprintf(`[application]
close = ['/bin/touch', '%[1]s/closed']
open = ['/bin/rm', '-f', '%[1]s/closed']
fence_status = ['/usr/bin/test', '!', '-e', '%[1]s/closed']
stop = ['/bin/rm', '%[1]s/running']
start = ['/bin/sh', '-c', '! [ -e "$0" ] && touch "$0"', '%[1]s/running']
%[2]s
[window]
`, s.dir, status)}
		s.writeConfig(t)
	}
	for _, b := range bundle { // the server has something
		s.publish(t, installed, map[string]string{b.distribution: ""})
	}
	configure("")
	code, out, errs := s.run(t, "doctor", "--rehearse")
	require.NotZero(t, code, out+errs)
	require.Regexp(t, `(?m)^fix +rehearsal stop: the application cannot be done twice, as after a crash: .*give application.status$`, out)
	require.Regexp(t, `(?m)^fix +rehearsal start: the application cannot be done twice`, out)
	require.Regexp(t, `(?m)^ok +rehearsal close: application.close`, out)
	require.Regexp(t, `(?m)^ok +rehearsal snapshot: postgres asp: verified in .*, and proven by restoring it beside`, out)
	s.inOrder(t, installed)

	configure("status = ['/bin/true']") // an update would not notice that the application has ended
	code, out, errs = s.run(t, "doctor", "--rehearse")
	require.NotZero(t, code, out+errs)
	require.Contains(t, out, "application.status reports stopped = false and should report true")
	require.NoError(t, os.WriteFile(running, nil, 0o600)) // it was not started either

	configure(fmt.Sprintf("status = ['/usr/bin/test', '-e', '%s']", running))
	code, out, errs = s.run(t, "doctor", "--rehearse")
	require.Zero(t, code, out+errs)
	require.FileExists(t, running)
	require.NoFileExists(t, filepath.Join(s.dir, "closed"))
	s.inOrder(t, installed)
	require.Equal(t, []string{"asp", "opeka", "postgres"}, s.databases(t), "nothing is left behind")
	left, err := filepath.Glob(filepath.Join(s.dir, "backups", ".rehearsal*"))
	require.NoError(t, err)
	require.Empty(t, left)

	// A rehearsal that dies leaves users out, and the lines lead out.
	began := time.Now()
	_, kill := (&soak{realSite: s}).start(t, "doctor", "--rehearse")
	require.Eventually(t, func() bool { _, err := os.Stat(running); return err != nil }, 30*time.Second, time.Millisecond)
	require.True(t, kill(), time.Since(began))
	_, out, errs = s.run(t, "status")
	s.followed(t).follow(t, out+errs)
	s.inOrder(t, installed)
	require.FileExists(t, running)
}

// TestRehearsalThatDiesIsSeen kills a rehearsal of a site that has no command to report anything:
// neither the entry nor the application says that it is closed or stopped.
func TestRehearsalThatDiesIsSeen(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]string{"once or twice": "/bin/touch", "only once": "/bin/mkdir", "an update follows": "/bin/touch"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
stop = ['/bin/sh', '${OWN}/stop.sh']
start = ['`+start+`', '${OWN}/running']
[[directory]]
path = '${SITE}'`, "")
			stop := "cd " + s.own + " && rm -rf running && touch stopped"
			s.write(filepath.Join(s.own, "stop.sh"), stop+" && exec sleep 5\n")
			s.installed("7.12.100")
			s.write(filepath.Join(s.own, "running"), "")
			cmd := exec.Command(program, "doctor", "--rehearse", "--config", s.config())
			cmd.Env = append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password)
			require.NoError(t, cmd.Start())
			require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(s.own, "stopped")); return err == nil }, 30*time.Second, time.Millisecond)
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			s.write(filepath.Join(s.own, "stop.sh"), stop+"\n")

			code, out := s.run("status")
			require.Equal(t, exitClosed, code, out)
			require.Contains(t, out, "a rehearsal that was cut short")
			if name == "an update follows" {
				require.NoError(t, os.Mkdir(filepath.Join(s.own, "running"), 0o755))
				s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
				code, out = s.run("update")
				require.Zero(t, code, out)
				code, out = s.run("status")
				require.Zero(t, code, out)
				return
			}
			code, out = s.run("open", "--reason", "the rehearsal died")
			require.Zero(t, code, out)
			_, err := os.Stat(filepath.Join(s.own, "running"))
			require.NoError(t, err, "the application was started")
			require.NoFileExists(t, filepath.Join(s.own, "closed"))
			code, out = s.run("status")
			require.Zero(t, code, out)
			code, out = s.run("doctor", "--rehearse")
			if name == "once or twice" {
				require.Zero(t, code, out)
			}
			code, out = s.run("status")
			require.Zero(t, code, out, "a rehearsal that ends leaves nothing to report")
		})
	}
}

// TestRehearsalCallsTheCommandsInOrder has every command of a site note its name, and compares
// what a rehearsal calls: each of them twice, the outermost part of the site first, and the
// probe before and after. The proof of the snapshot restores it beside the live data.
func TestRehearsalCallsTheCommandsInOrder(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, status string
		want         []string
	}{
		{"without a status", "", []string{
			"probe", "close", "close", "stop", "stop",
			"backup", "verify", "restore", "start", "start", "probe", "open", "open",
		}},
		{"with a status that says what holds", `
fence_status = ['/bin/sh', '${OWN}/note.sh', 'is open', '/usr/bin/test', '!', '-e', '${OWN}/closed']
status = ['/bin/sh', '${OWN}/note.sh', 'is running', '/usr/bin/test', '-e', '${OWN}/running']`, []string{
			"probe", "is open", "close", "is open", "is open", // at last it is asked what it reports of itself
			"is running", "stop", "is running", "is running",
			"backup", "verify", "restore", "is running", "start", "is running", "probe", "is running",
			"is open", "open", "is open", "is open",
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newScriptSite(t, `
close = ['/bin/sh', '${OWN}/note.sh', 'close', '/bin/touch', '${OWN}/closed']
open = ['/bin/sh', '${OWN}/note.sh', 'open', '/bin/rm', '-f', '${OWN}/closed']
stop = ['/bin/sh', '${OWN}/note.sh', 'stop', '/bin/rm', '-f', '${OWN}/running']
start = ['/bin/sh', '${OWN}/note.sh', 'start', '/bin/touch', '${OWN}/running']`+tc.status+`
[[command]]
live = '${SITE}/data'
backup = ['/bin/sh', '${OWN}/note.sh', 'backup', '/bin/cp', '{live}', '{file}']
restore = ['/bin/sh', '${OWN}/note.sh', 'restore', '/bin/cp', '{file}', '{new}']
verify = ['/bin/sh', '${OWN}/note.sh', 'verify', '/bin/cp', '{file}', '{new}']`, "")
			calls := filepath.Join(s.own, "calls")
			s.write(filepath.Join(s.own, "note.sh"), "echo \"$1\" >> "+calls+"\nshift\nexec \"$@\"\n")
			text, err := os.ReadFile(s.config())
			require.NoError(t, err)
			probe := fmt.Sprintf("command = ['/bin/cat', '%s/version']", s.site)
			require.Contains(t, string(text), probe)
			s.write(s.config(), strings.Replace(string(text), probe, fmt.Sprintf("command = ['/bin/sh', '%s/note.sh', 'probe', '/bin/cat', '%s/version']", s.own, s.site), 1))
			s.installed("7.12.100")
			s.write(filepath.Join(s.site, "data"), "entered before\n")
			s.write(filepath.Join(s.own, "running"), "")
			called := func(args ...string) (list []string) {
				code, out := s.run("doctor", args...)
				require.Zero(t, code, out)
				text, err := os.ReadFile(calls)
				require.NoError(t, err)
				require.NoError(t, os.Remove(calls))
				return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
			}
			looking := called() // what doctor asks in any case
			require.Subset(t, []string{"probe", "is open", "is running"}, looking)
			require.Equal(t, append(looking, tc.want...), called("--rehearse"))
			require.NoFileExists(t, filepath.Join(s.own, "closed"))
			require.FileExists(t, filepath.Join(s.own, "running"))
		})
	}
}
