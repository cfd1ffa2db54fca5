package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/rollback"
)

// A realSite is an installation on real parts: releases on a vsftpd, a
// database on a PostgreSQL for each of two distributions (R4), installers
// that are scripts, and a user for each database who never stops writing.
type realSite struct {
	ftp, site, dir string
	server         realtest.Server
	cluster        *realtest.Cluster
	users          []*writer
	config         map[string]string // replacements, for tests that break something
	more           []string          // of the environment
}

var bundle = []struct{ distribution, database string }{{"АСП", "asp"}, {"Опека", "opeka"}}

const installed = "7.12.100"

func newRealSite(t *testing.T) *realSite {
	t.Helper()
	base := t.TempDir()
	s := &realSite{ftp: filepath.Join(base, "ftp"), site: filepath.Join(base, "site"), dir: filepath.Join(base, "own")}
	for _, d := range []string{s.ftp, s.site, s.dir} {
		require.NoError(t, os.Mkdir(d, 0o755))
	}
	s.server = realtest.VSFTPD(t, s.ftp)
	s.cluster = realtest.Postgres(t)
	s.sql(t, "postgres", "CREATE ROLE clerk LOGIN PASSWORD 'clerk'")
	for _, b := range bundle {
		s.sql(t, "postgres", "CREATE DATABASE "+b.database+" OWNER clerk")
		s.sql(t, b.database, `SET ROLE clerk;
			CREATE TABLE meta (version text NOT NULL); INSERT INTO meta VALUES ('`+installed+`');
			CREATE TABLE entry (id int PRIMARY KEY, text text NOT NULL)`)
		require.NoError(t, os.WriteFile(filepath.Join(s.site, b.database), []byte(installed), 0o644))
	}
	s.writeConfig(t)
	for _, b := range bundle {
		setup := filepath.Join(base, b.database+".sh")
		require.NoError(t, os.WriteFile(setup, []byte(s.setup(installed, "")), 0o644))
		code, out, errs := s.run(t, "archive", "import", "--distribution", b.distribution, "--version", installed, setup)
		require.Zero(t, code, out+errs)
	}
	for _, b := range bundle {
		s.users = append(s.users, startWriter(t, s.cluster.URI("clerk", "clerk", b.database)))
	}
	return s
}

func (s *realSite) sql(t testing.TB, database, text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.cluster.Admin(database))
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), text)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

// setup is an installer: it puts the software in place and migrates the
// database as the maintenance role, unless that is done already.
func (s *realSite) setup(version, statements string) string {
	psql := filepath.Join(s.cluster.Bin, "psql")
	return fmt.Sprintf(`#!/bin/sh
set -e
site=$1 db=$2
echo %[1]s > "$site/$db"
have=$('%[2]s' -XAtqd "$db" -c 'SELECT version FROM meta')
[ "$have" = %[1]s ] && exit 0
touch "$site/$db.migrating"
'%[2]s' -Xqd "$db" -v ON_ERROR_STOP=1 <<'SQL'
%[3]s
UPDATE meta SET version = '%[1]s';
SQL
rm "$site/$db.migrating"
`, version, psql, statements)
}

// publish puts a release of some distributions on the server, an hour ago.
func (s *realSite) publish(t testing.TB, version string, statements map[string]string) {
	t.Helper()
	for distribution, text := range statements {
		dir := filepath.Join(s.ftp, distribution, version)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		file := filepath.Join(dir, "Setup.sh")
		require.NoError(t, os.WriteFile(file, []byte(s.setup(version, text)), 0o644))
		old := time.Now().Add(-time.Hour)
		require.NoError(t, os.Chtimes(file, old, old))
	}
}

func both(text string) map[string]string {
	return map[string]string{bundle[0].distribution: text, bundle[1].distribution: text}
}

func (s *realSite) configFile() string { return filepath.Join(s.dir, "aspupdate.toml") }

func (s *realSite) writeConfig(t testing.TB) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `state = '%[1]s/state'
archive = '%[1]s/archive'
backups = '%[1]s/backups'
live = ['%[2]s']

[server]
address = '%[3]s'
user = '%[4]s'
password_env = 'SITE_FTP_PASSWORD'

[window]
any_time = 'a test has no support hours'

[deadlines]
probe = '5s'
`, s.dir, s.site, s.server.Addr, s.server.User)
	for _, d := range bundle {
		secret := filepath.Join(s.dir, d.database+".uri")
		require.NoError(t, os.WriteFile(secret, []byte(s.cluster.Admin(d.database)+"\n"), 0o600))
		fmt.Fprintf(&b, `
[[postgres]]
name = '%[1]s'
uri_file = '%[2]s'

[[distribution]]
name = '%[3]s'
launcher = ['/bin/sh']
arguments = ['%[4]s', '%[1]s']
environment = ['PGHOST', 'PGPORT', 'PGUSER', 'PGPASSWORD']
unauthenticated = 'a test on loopback'

[distribution.probe]
command = ['/bin/sh', '-c', '''
v=$(cat '%[4]s/%[1]s')
'%[5]s/psql' -XAtqd %[1]s -c 'SELECT text FROM entry LIMIT 1' > /dev/null &&
[ "$('%[5]s/psql' -XAtqd %[1]s -c 'SELECT version FROM meta')" = "$v" ] && echo $v
''']
environment = ['PGHOST', 'PGPORT', 'PGUSER', 'PGPASSWORD']
every = '200ms'
`, d.database, secret, d.distribution, s.site, s.cluster.Bin)
	}
	text := b.String()
	for from, to := range s.config {
		require.Contains(t, text, from)
		text = strings.Replace(text, from, to, 1)
	}
	require.NoError(t, os.WriteFile(s.configFile(), []byte(text), 0o600))
}

func (s *realSite) env() []string {
	return append([]string{
		"SITE_FTP_PASSWORD=" + s.server.Password, "ASPUPDATE_CONFIG=" + s.configFile(),
		"PGHOST=127.0.0.1", fmt.Sprint("PGPORT=", s.cluster.Port), "PGUSER=postgres", "PGPASSWORD=" + s.cluster.Password,
	}, s.more...)
}

func (s *realSite) run(t testing.TB, name string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	code, stdout, stderr = aspupdate(t, s.env(), append([]string{name}, args...)...)
	for _, secret := range []string{s.cluster.Password, url.QueryEscape(s.cluster.Password), s.server.Password} {
		require.NotContains(t, stdout+stderr, secret, "no secret is ever shown")
	}
	return code, stdout, stderr
}

// inOrder fails unless both distributions and their databases are at the
// version, users can work, and nothing that they were told is stored is lost.
func (s *realSite) inOrder(t *testing.T, version string) {
	t.Helper()
	for i, b := range bundle {
		software, err := os.ReadFile(filepath.Join(s.site, b.database))
		require.NoError(t, err)
		require.Equal(t, version, strings.TrimSpace(string(software)))
		before := s.users[i].count()
		require.Eventually(t, func() bool { return s.users[i].count() > before }, 20*time.Second, 10*time.Millisecond, "users work again")
		acked := s.users[i].count()
		conn, err := pgx.Connect(t.Context(), s.cluster.Admin(b.database))
		require.NoError(t, err)
		var schema string
		var kept int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT version FROM meta").Scan(&schema))
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM entry WHERE id BETWEEN 1 AND $1 AND text = 'entry ' || id", acked).Scan(&kept))
		require.Equal(t, version, schema)
		require.Equal(t, acked, kept, "no acknowledged write is lost")
		require.NoError(t, conn.Close(t.Context()))
	}
	st, err := rollback.ReadStatus(filepath.Join(s.dir, "state"))
	require.NoError(t, err)
	require.Nil(t, st.Pending)
}

// databases lists what is on the server: an update leaves nothing behind.
func (s *realSite) databases(t *testing.T) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.cluster.Admin("postgres"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	rows, err := conn.Query(t.Context(), "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1")
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return names
}

// TestUpdateOnRealParts is the whole flow on vsftpd and PostgreSQL: a good
// release of a bundle, a broken one, and one whose updater is killed.
func TestUpdateOnRealParts(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	const migration = "ALTER TABLE entry ADD COLUMN district text NOT NULL DEFAULT 'Tula'; CREATE INDEX ON entry (district);"

	t.Run("good", func(t *testing.T) {
		s.publish(t, "7.13.100", both(migration))
		boss, err := pgx.Connect(t.Context(), s.cluster.Admin("asp")+"&application_name=theapp")
		require.NoError(t, err)
		defer func() { _ = boss.Close(context.Background()) }()
		code, out, errs := s.run(t, "update")
		require.Zero(t, code, out+errs)
		require.Regexp(t, "(?m)^ +shared: .*theapp", out, "whom no fence of the database holds is named")
		require.Contains(t, out, "UNAUTHENTICATED", "plain FTP without a pinned hash is called so")
		require.Contains(t, out, "R14", "7.12 is December and 7.13 January")
		s.inOrder(t, "7.13.100")
		code, _, errs = s.run(t, "update")
		require.Equal(t, exitNothing, code, errs)
	})
	t.Run("looked at", func(t *testing.T) {
		code, out, errs := s.run(t, "doctor")
		require.Zero(t, code, out+errs)
		require.Regexp(t, `(?m)^ok       postgres \S+: PostgreSQL \d+.*, the role may do all that is needed, pg_dump \(PostgreSQL\) \d+`, out)
		require.Regexp(t, `(?m)^ok       space .*an update takes \d+ MB \(.*snapshot`, out)
		require.Equal(t, 2, strings.Count(out, "the Setup of 7.13.100 is there and whole (R10)"), out)
		code, out, errs = s.run(t, "check")
		require.Equal(t, exitNothing, code, out+errs)
		code, out, errs = s.run(t, "archive", "prune", "--keep", "1", "--dry-run")
		require.Zero(t, code, out+errs)
		require.Contains(t, out, "nothing to remove", "an operator may still go back")
	})
	t.Run("R15 broken", func(t *testing.T) {
		// The second of the bundle fails after the first was installed: both go back.
		s.publish(t, "7.13.200", map[string]string{
			"АСП":   "CREATE TABLE child (entry int REFERENCES entry); ALTER DATABASE asp SET work_mem = '8MB';",
			"Опека": "DELETE FROM entry WHERE id % 2 = 0; ALTER TABLE entry DROP COLUMN text;",
		})
		code, out, errs := s.run(t, "update")
		require.Equal(t, exitRolledBack, code, out+errs)
		s.inOrder(t, "7.13.100")
		var left any
		conn, err := pgx.Connect(t.Context(), s.cluster.Admin("asp"))
		require.NoError(t, err)
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT to_regclass('child')::text").Scan(&left))
		require.Nil(t, left, "the first one's new table is gone too")
		require.NoError(t, conn.Close(t.Context()))
		code, _, errs = s.run(t, "update")
		require.Equal(t, exitRefused, code, "it is not tried again by itself: %s", errs)
		require.Contains(t, errs, "quarantine")
	})
	for _, c := range []struct{ name, version, statements, want string }{
		{"killed, forward", "7.14.100", "SELECT pg_sleep(2);", "7.14.100"},
		{"killed, back", "7.14.200", "DELETE FROM entry; SELECT pg_sleep(2); SELECT 1/0;", "7.14.100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.publish(t, c.version, map[string]string{"АСП": migrationDone, "Опека": c.statements})
			s.killMidway(t)
			code, out, errs := s.run(t, "recover")
			require.Zero(t, code, out+errs)
			s.inOrder(t, c.want)
		})
	}
	t.Run("R15 a person goes back, and forward again", func(t *testing.T) {
		acked := []int{s.users[0].count(), s.users[1].count()}
		s.goBack(t, "7.13.100")
		s.goBack(t, "7.14.100")
		for i, b := range bundle {
			conn, err := pgx.Connect(t.Context(), s.cluster.Admin(b.database))
			require.NoError(t, err)
			var kept int
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM entry WHERE id BETWEEN 1 AND $1", acked[i]).Scan(&kept))
			require.Equal(t, acked[i], kept, "what was entered until the rollback was kept aside and is back")
			require.NoError(t, conn.Close(t.Context()))
		}
	})
	require.Equal(t, []string{"asp", "opeka", "postgres"}, s.databases(t), "nothing is left behind")
}

// goBack confirms the rollback, or its undo, that is shown.
func (s *realSite) goBack(t *testing.T, version string) {
	t.Helper()
	code, out, errs := s.run(t, "rollback", "--json")
	require.Zero(t, code, out+errs)
	var plan rollback.RevertPlan
	require.NoError(t, json.Unmarshal([]byte(out), &plan))
	require.Contains(t, plan.Revert.Rows(), "postgres asp public.entry ", "what was entered is counted")
	code, out, errs = s.run(t, "rollback", "--confirm", plan.Hash, "--reason", "a test")
	require.Zero(t, code, out+errs)
	for i, b := range bundle {
		software, err := os.ReadFile(filepath.Join(s.site, b.database))
		require.NoError(t, err)
		require.Equal(t, version, strings.TrimSpace(string(software)))
		conn, err := pgx.Connect(t.Context(), s.cluster.Admin(b.database))
		require.NoError(t, err)
		var schema string
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT version FROM meta").Scan(&schema))
		require.Equal(t, version, schema)
		require.NoError(t, conn.Close(t.Context()))
		before := s.users[i].count()
		require.Eventually(t, func() bool { return s.users[i].count() > before }, 20*time.Second, 10*time.Millisecond, "users work again")
	}
}

const migrationDone = "SELECT 1;"

// killMidway starts an update and kills it by SIGKILL while the second
// installer is at work on its database.
func (s *realSite) killMidway(t *testing.T) {
	t.Helper()
	marker := filepath.Join(s.site, bundle[1].database+".migrating")
	s.killWhen(t, func() bool {
		_, err := os.Stat(marker)
		return err == nil
	})
	require.FileExists(t, marker, "the installer is still at work")
}

// killWhen starts an update and kills it by SIGKILL.
func (s *realSite) killWhen(t *testing.T, at func() bool) {
	t.Helper()
	cmd := exec.Command(program, "update", "--config", s.configFile())
	cmd.Env = append(os.Environ(), s.env()...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	for !at() {
		select {
		case <-ended:
			t.Fatalf("the update ended before it could be killed: %s", out.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
	require.NoError(t, cmd.Process.Kill())
	<-ended
}

// A writer is a user who never stops writing.
type writer struct {
	mu    sync.Mutex
	acked int
}

func (w *writer) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

func startWriter(t testing.TB, uri string) *writer {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	w := &writer{}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			conn, err := pgx.Connect(ctx, uri)
			if err != nil {
				time.Sleep(20 * time.Millisecond) // kept out; tries again
				continue
			}
			for err == nil {
				id := w.count() + 1
				if _, err = conn.Exec(ctx, "INSERT INTO entry (id, text) VALUES ($1, 'entry ' || $1::int) ON CONFLICT DO NOTHING", id); err == nil {
					w.mu.Lock()
					w.acked = id
					w.mu.Unlock()
					time.Sleep(2 * time.Millisecond)
				}
			}
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	return w
}

// TestBadInputOnRealParts breaks one thing each: one clear sentence, an exit
// code of its own, and nothing changed.
func TestBadInputOnRealParts(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	s.publish(t, "7.13.100", both(migrationDone))
	onServer := filepath.Join(s.ftp, "Опека")
	for _, c := range []struct {
		name   string
		config map[string]string
		harm   func(t *testing.T) (mend func())
		code   int
		want   string
	}{
		{
			name: "server down", code: exitServer, want: "unreachable",
			config: map[string]string{s.server.Addr: fmt.Sprintf("127.0.0.1:%d", realtest.FreePort(t))},
		},
		{
			name: "wrong credentials", code: exitCredentials, want: "login refused",
			config: map[string]string{"password_env = 'SITE_FTP_PASSWORD'": "password_env = 'PGUSER'"},
		},
		{
			name: "unknown distribution", code: exitUnknown, want: "unknown distribution",
			harm: func(t *testing.T) func() {
				require.NoError(t, os.Rename(onServer, onServer+".away"))
				return func() { require.NoError(t, os.Rename(onServer+".away", onServer)) }
			},
		},
		{
			name: "R4 bundle not complete", code: exitIncomplete, want: "joint release incomplete",
			harm: func(t *testing.T) func() {
				file := filepath.Join(onServer, "7.13.100", "Setup.sh")
				require.NoError(t, os.Rename(file, s.ftp+"/Setup.sh"))
				return func() { require.NoError(t, os.Rename(s.ftp+"/Setup.sh", file)) }
			},
		},
		{
			name: "still being uploaded", code: exitIncomplete, want: "still settling",
			harm: func(t *testing.T) func() {
				file := filepath.Join(onServer, "7.13.100", "Setup.sh")
				require.NoError(t, os.Chtimes(file, time.Now(), time.Now()))
				return func() {
					old := time.Now().Add(-time.Hour)
					require.NoError(t, os.Chtimes(file, old, old))
				}
			},
		},
		{
			name: "disk full", code: exitSpace, want: "space",
			harm: func(t *testing.T) func() { return s.fullArchive(t) },
		},
		{
			name: "R10 previous Setup gone", code: exitPrevious, want: "aspupdate archive import",
			harm: func(t *testing.T) func() {
				dir := filepath.Join(s.dir, "archive", "Опека")
				require.NoError(t, os.Rename(dir, s.dir+"/away"))
				return func() { require.NoError(t, os.Rename(s.dir+"/away", dir)) }
			},
		},
		{
			name: "archive inside the application", code: exitDirectories, want: "lies inside",
			config: map[string]string{"live = ['" + s.site + "']": "live = ['" + s.dir + "/archive']"},
		},
		{
			name: "backups inside the application", code: exitDirectories, want: "lies inside",
			config: map[string]string{"backups = '" + s.dir + "/backups'": "backups = '" + s.site + "/backups'"},
		},
		{
			name: "state inside the application", code: exitDirectories, want: "lies inside",
			config: map[string]string{"state = '" + s.dir + "/state'": "state = '" + s.site + "/state'"},
		},
		{
			name: "R13 can never fit", code: exitRefused, want: "R13",
			config: map[string]string{"any_time = 'a test has no support hours'": "backup = '5h'\nrollback = '5h'\nchecks = '5m'"},
		},
		{
			name: "a hash that is not the pinned one", code: exitUnvouched, want: "not the one that was vouched for",
			config: map[string]string{"unauthenticated = 'a test on loopback'": "sha256 = { '7.13.100' = '" + strings.Repeat("0", 64) + "' }"},
		},
		{
			name: "a second copy is running", code: exitBusy, want: "another update is running",
			harm: func(t *testing.T) func() {
				dir := filepath.Join(s.dir, "state")
				require.NoError(t, os.MkdirAll(dir, 0o700))
				l, err := rollback.Acquire(dir, "updating", time.Now())
				require.NoError(t, err)
				return func() { require.NoError(t, l.Release()) }
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.config = c.config
			s.writeConfig(t)
			mend := func() {}
			if c.harm != nil {
				mend = c.harm(t)
			}
			code, _, errs := s.run(t, "update")
			mend()
			require.Equal(t, c.code, code, errs)
			require.Contains(t, errs, c.want)
			said, _, _ := strings.Cut(errs, "state: ")
			require.Equal(t, 1, strings.Count(said, "\n"), "one sentence: %s", errs)
			require.NoFileExists(t, filepath.Join(s.dir, "state", "journal.log"), "nothing was begun")
			s.inOrder(t, installed)
		})
	}
	// With everything mended the same update goes through.
	s.config = nil
	s.writeConfig(t)
	code, out, errs := s.run(t, "update")
	require.Zero(t, code, out+errs)
	s.inOrder(t, "7.13.100")
}

// fullArchive puts the archive on a small volume that has no room left.
func (s *realSite) fullArchive(t *testing.T) (mend func()) {
	t.Helper()
	archive, kept := filepath.Join(s.dir, "archive"), filepath.Join(s.dir, "archive.kept")
	require.NoError(t, os.Rename(archive, kept))
	require.NoError(t, os.Mkdir(archive, 0o700))
	back := func() {
		require.NoError(t, os.Remove(archive))
		require.NoError(t, os.Rename(kept, archive))
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", archive).CombinedOutput(); err != nil {
		back()
		realtest.Skip(t, "no small volume can be mounted: %v: %s", err, out)
	}
	mend = func() {
		require.NoError(t, exec.Command("umount", archive).Run())
		back()
	}
	require.NoError(t, os.CopyFS(archive, os.DirFS(kept)))
	f, err := os.Create(filepath.Join(archive, "filler"))
	require.NoError(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 1024))
	}
	require.NoError(t, f.Close())
	return mend
}
