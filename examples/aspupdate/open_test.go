package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup/postgres"
)

// TestAClosedFenceWithNothingPendingIsFoundAndOpened closes the application's
// gate and a database by hand. status, check and doctor show it, and only open
// lets users in.
func TestAClosedFenceWithNothingPendingIsFoundAndOpened(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	gate := filepath.Join(s.dir, "closed")
	s.config = map[string]string{"[window]\n": fmt.Sprintf(`[application]
close = ['/bin/sh', '-c', '! [ -e "$0" ] && touch "$0"', '%[1]s']
open = ['/bin/rm', '%[1]s']
fence_status = ['/bin/sh', '-c', '! [ -e "$0" ]', '%[1]s']

[window]
`, gate)}
	s.writeConfig(t)
	code, out, errs := s.run(t, "status")
	require.Zero(t, code, out+errs)
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	s.closeDatabase(t, "opeka")
	for _, ask := range []string{"status", "check", "doctor"} {
		code, out, errs = s.run(t, ask)
		require.Equal(t, exitClosed, code, "%s: %s", ask, out+errs)
		require.Contains(t, out+errs, "closed: application.close (/bin/sh), postgres opeka", ask)
		require.Contains(t, out+errs, "next: aspupdate open --reason WHY\n", ask)
	}
	code, out, errs = s.run(t, "status", "--json")
	require.Equal(t, exitClosed, code, errs)
	require.Contains(t, out, `"next": "aspupdate open --reason WHY"`)

	code, out, errs = s.run(t, "open", "--reason", "the copy of the state was restored")
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "application.close (/bin/sh): open; it was closed\npostgres asp: open\npostgres opeka: open; it was closed\n")
	require.NoFileExists(t, gate)
	s.inOrder(t, installed)
	code, out, errs = s.run(t, "status")
	require.Zero(t, code, out+errs)
	require.Contains(t, out, "because: the copy of the state was restored", "it is recorded")

	// What is open already stays so: /bin/rm would fail.
	code, out, errs = s.run(t, "open", "--reason", "once more")
	require.Zero(t, code, out+errs)
}

// TestAFenceThatFailsWhereItIsClosed has a command that fails if there is nothing to do, and no
// status: after a crash it can never be closed again. Either way that the program names leads out.
func TestAFenceThatFailsWhereItIsClosed(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"the command is corrected", "a person accepts"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newScriptSite(t, "close = ['/bin/sh', '-c', '! [ -e ${OWN}/closed ] && touch ${OWN}/closed']\nopen = ['/bin/rm', '-f', '${OWN}/closed']", "")
			text, err := os.ReadFile(s.config())
			require.NoError(t, err)
			config := string(text)
			patient := func(fence string) string {
				return strings.Replace(config, "probe = '1s'", "probe = '1s'\nfence = '"+fence+"'", 1)
			}
			s.installed("7.12.100")
			s.publish("7.13.100", "Setup", "touch "+s.own+"/waiting-x; while [ -e "+s.own+"/wait-x ]; do sleep 0.05; done\necho 7.13.100 > $1/version\n")
			s.killed("x")
			s.write(s.config(), patient("3s"))
			code, out := s.run("recover")
			require.Equal(t, exitInterrupted, code, out)
			require.Contains(t, out, "next: correct the command that the message names, or give application.fence_status")
			require.FileExists(t, filepath.Join(s.own, "closed"), "users are out")
			if way == "a person accepts" {
				s.write(s.config(), patient("20s"))
				code, out = s.run("recover", "--accept", "a test")
				require.Zero(t, code, out)
			} else {
				s.write(s.config(), strings.Replace(config, "! [ -e "+s.own+"/closed ] && touch", "touch", 1))
				code, out = s.run("recover")
				require.Zero(t, code, out)
			}
			require.Equal(t, "7.13.100\n", s.read("version"))
			require.NoFileExists(t, filepath.Join(s.own, "closed"))
			code, out = s.run("status")
			require.Zero(t, code, out)
		})
	}
}

// TestAnApplicationThatCannotBeStoppedTwice has commands that fail if there is nothing to do,
// and no status: the way back stops once more what is stopped. The lines lead out, whichever way
// a person takes.
func TestAnApplicationThatCannotBeStoppedTwice(t *testing.T) {
	t.Parallel()
	const (
		close = "close = ['/bin/touch', '${OWN}/closed']\nopen = ['/bin/rm', '-f', '${OWN}/closed']\n"
		stop  = "stop = ['/bin/rm', '${OWN}/running']\nstart = ['/bin/sh', '-c', '! [ -e ${OWN}/running ] && touch ${OWN}/running']\n"
	)
	for way, want := range map[string]string{
		"status is given": "7.12.100\n", "the command is corrected": "7.12.100\n", "a person accepts": "7.13.100\n",
	} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newScriptSite(t, close+stop, "")
			s.installed("7.12.100")
			s.write(filepath.Join(s.own, "running"), "")
			s.publish("7.13.100", "Setup", "echo broken > $1/version\nexit 1\n")
			code, out := s.run("update")
			require.Equal(t, exitOperator, code, out)
			require.Contains(t, out, "next: correct the command that the message names, or give application.status (what is stopped already is then not stopped again), "+
				"then aspupdate recover --retry REASON; or repair the installation by hand, then aspupdate recover --accept REASON\n")
			require.Contains(t, out, "/bin/rm", "the message names it")
			require.FileExists(t, filepath.Join(s.own, "closed"), "users are out")
			text, err := os.ReadFile(s.config())
			require.NoError(t, err)
			switch way {
			case "status is given":
				s.write(s.config(), strings.Replace(string(text), "stop = ", "status = ['/usr/bin/test', '-e', '"+s.own+"/running']\nstop = ", 1))
			case "the command is corrected":
				s.write(s.config(), strings.Replace(string(text), "['/bin/rm', '"+s.own+"/running']", "['/bin/rm', '-f', '"+s.own+"/running']", 1))
			default:
				s.write(filepath.Join(s.site, "version"), want)
				hotfix := filepath.Join(s.own, "hotfix.sh")
				s.write(hotfix, "echo 7.13.100 > $1/version\n")
				code, out = s.run("archive", "import", "--distribution", "АСП", "--version", "7.13.100", hotfix)
				require.Zero(t, code, out)
				code, out = s.run("recover", "--accept", "a test", "--installed", fmt.Sprintf("7.13.100@%x", sha256.Sum256([]byte("echo 7.13.100 > $1/version\n"))))
				require.Zero(t, code, out)
			}
			if way != "a person accepts" {
				code, out = s.run("recover", "--retry", "a test")
				require.Zero(t, code, out)
			}
			require.Equal(t, want, s.read("version"))
			require.NoFileExists(t, filepath.Join(s.own, "closed"))
			require.FileExists(t, filepath.Join(s.own, "running"))
			code, out = s.run("status")
			require.Zero(t, code, out)
		})
	}
	t.Run("it was stopped before the update", func(t *testing.T) {
		t.Parallel()
		s := newScriptSite(t, close+stop, "")
		s.installed("7.12.100")
		s.publish("7.13.100", "Setup", "echo 7.13.100 > $1/version\n")
		code, out := s.run("update")
		require.Equal(t, exitAbandoned, code, out)
		require.Contains(t, out, "next: correct the command that the message names, or give application.status (what is stopped already is then not stopped again), then aspupdate doctor --rehearse (in a quiet hour)\n")
		require.NoFileExists(t, filepath.Join(s.own, "closed"))
	})
	t.Run("it does not start", func(t *testing.T) {
		t.Parallel()
		s := newScriptSite(t, close+"status = ['/usr/bin/test', '-e', '${OWN}/running']\nstop = ['/bin/rm', '${OWN}/running']\nstart = ['/bin/cp', '${OWN}/start', '${OWN}/running']\n"+
			"[[command]]\nlive = '${SITE}/version'\nbackup = ['/bin/false', '{live}', '{file}']\nrestore = ['/bin/cp', '{file}', '{new}']\nverify = ['/bin/cp', '{file}', '{new}']", "")
		s.installed("7.12.100")
		s.write(filepath.Join(s.own, "running"), "")
		s.publish("7.13.100", "Setup", "echo 7.13.100 > $1/version\n")
		code, out := s.run("update")
		require.Equal(t, exitInterrupted, code, out)
		require.Contains(t, out, "next: correct the command that the message names, then aspupdate recover\n")
		s.write(filepath.Join(s.own, "start"), "")
		code, out = s.run("recover")
		require.Zero(t, code, out)
		require.FileExists(t, filepath.Join(s.own, "running"))
	})
}

// closeDatabase closes a database as an update does that was killed and of which
// nothing else is left.
func (s *realSite) closeDatabase(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, (&postgres.Database{URI: s.cluster.Admin(name)}).Close(t.Context()))
	conn, err := pgx.Connect(t.Context(), s.cluster.URI("clerk", "clerk", name))
	if err == nil {
		_ = conn.Close(t.Context())
	}
	require.Error(t, err, "users are out")
}

// TestADamagedJournalOfAPendingUpdateLeadsOut kills an update while an installer
// runs, and damages its journal. The lines that the program prints lead to users
// who are in, with all that they entered.
func TestADamagedJournalOfAPendingUpdateLeadsOut(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	s.publish(t, "7.13.100", both("ALTER TABLE entry ADD COLUMN city text NOT NULL DEFAULT 'Tula'; SELECT pg_sleep(2);"))
	s.killMidway(t)
	journal := filepath.Join(s.dir, "state", "journal.log")
	text, err := os.ReadFile(journal)
	require.NoError(t, err)
	text[len(text)/2] ^= 1
	require.NoError(t, os.WriteFile(journal, text, 0o600))

	f := s.followed(t)
	f.repair = func(next string) {
		if state := filepath.Join(s.dir, "state"); strings.Contains(next, "move it away") {
			require.NoError(t, os.Rename(state, state+".damaged"))
		}
	}
	_, out, errs := s.run(t, "status") // the installer still runs, and must not end in what is put in order
	f.follow(t, out+errs)
	s.inOrder(t, "7.13.100")
}

// followed returns the site as one whose next: lines are followed.
func (s *realSite) followed(t *testing.T) *followed {
	return &followed{
		run: func(args ...string) (int, string) {
			code, out, errs := s.run(t, args[0], args[1:]...)
			return code, out + errs
		},
		inOrder: func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			versions := map[string]bool{}
			for _, b := range bundle {
				conn, err := pgx.Connect(ctx, s.cluster.URI("clerk", "clerk", b.database))
				if err != nil {
					return fmt.Errorf("users of %s are out: %w", b.database, err)
				}
				var version string
				err = errors.Join(conn.QueryRow(ctx, "SELECT version FROM meta").Scan(&version), conn.Close(ctx))
				software, err2 := os.ReadFile(filepath.Join(s.site, b.database))
				if err = errors.Join(err, err2); err != nil {
					return err
				}
				versions[version], versions[strings.TrimSpace(string(software))] = true, true
			}
			if len(versions) != 1 {
				return fmt.Errorf("software and data have the versions %v", versions)
			}
			return nil
		},
	}
}
