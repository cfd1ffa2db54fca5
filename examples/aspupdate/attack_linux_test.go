package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// Attacks by a local account without permissions on this program as root. Those
// that need a database, an application's account or a share are tested by the
// packages that stop them; SECURITY.md has the list.

// attackRounds is how often the program runs while the attacker works.
func attackRounds() int {
	if os.Getenv("ASPUPDATE_SOAK") != "" {
		return 1000
	}
	return 10
}

// attacker runs a shell command as nobody, again and again, until the test ends.
func attacker(t *testing.T, dir, command string) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "cd "+dir+" && while :; do "+command+"; done")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Setpgid: true}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	})
}

// shared returns a directory that every account can enter.
func shared(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root can be attacked by another account")
	}
	t.Setenv("TMPDIR", "/tmp")
	return realtest.SharedDir(t)
}

// Root runs a command where a stranger left a configuration: its probe would run
// as root.
func TestAttackByAConfigurationInAForeignDirectory(t *testing.T) {
	dir := shared(t)
	marker := filepath.Join(dir, "root-was-here")
	evil := fmt.Sprintf("state = '%[1]s/s'\narchive = '%[1]s/a'\nbackups = '%[1]s/b'\nno_data = 'x'\n[server]\naddress = '127.0.0.1:1'\n[window]\nany_time = 'x'\n"+
		"[application]\nno_fence = 'x'\n[[distribution]]\nname = 'x'\nunauthenticated = 'x'\nprobe = { command = ['/bin/touch', '%[1]s/root-was-here'] }\n", dir)
	own := filepath.Join(dir, "own") // root's, and root may use it
	require.NoError(t, os.Mkdir(own, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(own, "aspupdate.toml"), []byte(evil), 0o644))
	run := func(from string, args ...string) (code int, out string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir = from
		b, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(b)
	}
	_, _ = run(own, "check")
	require.FileExists(t, marker, "the attack works where nothing stops it")
	require.NoError(t, os.Remove(marker))

	for name, c := range map[string]struct {
		mode  os.FileMode // of the directory
		owner int
		file  func(path string) error
	}{
		"a stranger's directory": {0o755, nobody, func(path string) error { return os.WriteFile(path, []byte(evil), 0o600) }},
		"a directory for all":    {0o777, 0, func(path string) error { return os.WriteFile(path, []byte(evil), 0o600) }},
		"a stranger's file in /tmp": {0o777 | os.ModeSticky, 0, func(path string) error {
			return os.WriteFile(path, []byte(evil), 0o600)
		}},
		"a stranger's link in /tmp": {0o777 | os.ModeSticky, 0, func(path string) error { return os.Symlink(filepath.Join(own, "aspupdate.toml"), path) }},
	} {
		t.Run(name, func(t *testing.T) {
			there := filepath.Join(dir, "there")
			require.NoError(t, os.Mkdir(there, 0o700))
			defer func() { require.NoError(t, os.RemoveAll(there)) }()
			require.NoError(t, c.file(filepath.Join(there, "aspupdate.toml")))
			if c.owner != 0 || c.mode&os.ModeSticky != 0 {
				require.NoError(t, os.Lchown(filepath.Join(there, "aspupdate.toml"), nobody, nobody))
			}
			require.NoError(t, os.Chown(there, c.owner, c.owner))
			require.NoError(t, os.Chmod(there, c.mode))
			for _, command := range []string{"check", "doctor", "status", "plan", "watch", "recover"} {
				code, out := run(there, command)
				require.Equal(t, exitUsage, code, out)
				require.Contains(t, out, "others can change")
			}
			require.NoFileExists(t, marker)
		})
	}

	t.Run("a link that changes all the time", func(t *testing.T) {
		there := filepath.Join(dir, "race")
		require.NoError(t, os.Mkdir(there, 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(there, "evil"), []byte(evil), 0o600))
		for _, path := range []string{there, filepath.Join(there, "evil")} {
			require.NoError(t, os.Chown(path, nobody, nobody))
		}
		require.NoError(t, os.Chmod(there, 0o755))
		attacker(t, there, "ln -sfn /etc/passwd n; mv -T n aspupdate.toml; ln -sfn evil n; mv -T n aspupdate.toml; ln -sfn "+own+" n; mv -T n d")
		for range attackRounds() {
			code, out := run(there, "check")
			require.Equal(t, exitUsage, code, out)
			_, _ = run("/", "check", "--config", there+"/d/aspupdate.toml")
			require.NoFileExists(t, marker)
		}
	})
}

// The directories of an installation are open to all, and a stranger puts links
// and files of his own into them while root works: nothing is updated, nothing is
// made elsewhere, and doctor says what to close.
func TestAttackOnDirectoriesThatAreOpenToAll(t *testing.T) {
	for _, open := range []string{"state", "archive", "backups"} {
		t.Run(open, func(t *testing.T) {
			base := shared(t)
			s := newScriptSite(t, "no_fence = 'a test'\n[[directory]]\npath = '${SITE}'", "")
			s.installed("7.12.100")
			s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
			there, elsewhere := filepath.Join(base, open), filepath.Join(base, "elsewhere")
			require.NoError(t, os.Mkdir(elsewhere, 0o700)) // root's alone
			require.NoError(t, os.MkdirAll(filepath.Join(s.own, open), 0o700))
			require.NoError(t, os.CopyFS(there, os.DirFS(filepath.Join(s.own, open))))
			require.NoError(t, os.Chmod(there, 0o777))
			s.repair = func(next string) {
				if strings.HasPrefix(next, "fix what the message names") {
					require.NoError(t, os.Chmod(there, 0o700))
				}
			}
			s.noWayOut = "the attacker has removed what was in the directory"
			text, err := os.ReadFile(s.config())
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(s.config(), []byte(strings.Replace(string(text), s.own+"/"+open, there, 1)), 0o600))

			attacker(t, there, "for n in .lock lock watch.json.lock holder.json journal.log journal.begun install; do ln -sf "+elsewhere+"/$n $n 2>/dev/null; rm -f $n; done")
			for range attackRounds() {
				for _, args := range [][]string{{"update", "--yes"}, {"fetch"}, {"recover"}, {"archive", "prune", "--keep", "1"}, {"backups", "prune", "--keep", "1"}} {
					code, out := s.run(args[0], args[1:]...)
					if code != 0 { // what does not need the directory
						require.Contains(t, out, "the mode of "+there+" is 0777", args)
					} else {
						require.NotEqual(t, "update", args[0])
					}
				}
				require.Equal(t, "7.12.100\n", s.read("version"))
			}
			left, err := os.ReadDir(elsewhere)
			require.NoError(t, err)
			require.Empty(t, left, "nothing was made elsewhere")
			code, out := s.run("doctor")
			require.NotZero(t, code)
			require.Regexp(t, `(?m)^fix +directory .*the mode of `+there+` is 0777; chmod go-w`, out)
		})
	}
}

// Children get none of the passwords: not the application's commands, which may
// run as its account, nor installer, probe and the command that notifies people.
func TestAttackOnTheEnvironmentOfChildren(t *testing.T) {
	dir := shared(t)
	seen := filepath.Join(dir, "seen")
	require.NoError(t, os.Mkdir(seen, 0o777))
	require.NoError(t, os.Chmod(seen, 0o777))
	dump := func(name string) string {
		return "['/bin/sh', '-c', 'env > " + seen + "/" + name + ".new; mv " + seen + "/" + name + ".new " + seen + "/" + name + "']"
	}
	s := newScriptSite(t, "close = "+dump("close")+"\nopen = "+dump("open")+"\nstop = "+dump("stop")+"\nstart = "+dump("start")+"\n[notify]\ncommand = "+dump("notify"), "")
	text, err := os.ReadFile(s.config())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.config(), []byte(strings.Replace(string(text), "command = ['/bin/cat', '"+s.site+"/version']",
		"command = ['/bin/sh', '-c', 'env > "+seen+"/probe; cat "+s.site+"/version']", 1)), 0o600))
	s.installed("7.12.100")
	s.publish("7.12.200", "Setup", "env > "+seen+"/installer; echo 7.12.200 > $1/version\n")
	code, out := s.run("update", "--yes")
	require.Zero(t, code, out)

	for _, name := range []string{"close", "open", "stop", "start", "probe", "installer", "notify"} {
		b, err := os.ReadFile(filepath.Join(seen, name))
		require.NoError(t, err, "%s ran", name)
		require.NotEmpty(t, b, name)
		require.NotContains(t, string(b), s.server.Password, name)
		require.NotContains(t, string(b), "SITE_FTP_PASSWORD", name)
	}
}
