package main

import (
	"cmp"
	"context"
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

// A realSite is an installation with real servers: releases on a vsftpd, a
// PostgreSQL database for each of two distributions (R4), installers that are
// scripts, and for each database a user who never stops writing.
type realSite struct {
	ftp, site, dir string
	server         realtest.Server
	cluster        *realtest.Cluster
	users          []*writer
	config         map[string]string // replacements in the configuration
	more           []string          // more of the environment
	volume         string            // where the state is; "" beside the archive and the backups

	maintenance string // a role that is no superuser, and its password; "" is the superuser
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

// setup returns an installer. It puts the software in place, and migrates the
// database as the maintenance role unless that is done already.
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

// publish puts a release of some distributions on the server, with a
// modification time an hour ago.
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

// uri returns how the program connects to a database.
func (s *realSite) uri(database string) string {
	if s.maintenance != "" {
		return s.cluster.URI(s.maintenance, s.maintenance, database)
	}
	return s.cluster.Admin(database)
}

func (s *realSite) state() string { return filepath.Join(cmp.Or(s.volume, s.dir), "state") }

func (s *realSite) configFile() string { return filepath.Join(s.dir, "aspupdate.toml") }

func (s *realSite) writeConfig(t testing.TB) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, `state = '%[5]s'
archive = '%[1]s/archive'
backups = '%[1]s/backups'
live = ['%[2]s']
unproven = 'a test of something else'

[server]
address = '%[3]s'
settle = '1ms'
user = '%[4]s'
password_env = 'SITE_FTP_PASSWORD'

[window]
any_time = 'a test has no support hours'

[deadlines]
probe = '5s'
`, s.dir, s.site, s.server.Addr, s.server.User, s.state())
	for _, d := range bundle {
		secret := filepath.Join(s.dir, d.database+".uri")
		require.NoError(t, os.WriteFile(secret, []byte(s.uri(d.database)+"\n"), 0o600))
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
interval = '200ms'
steady = '200ms'
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
	require.NoError(t, typeable(stdout+stderr))
	return code, stdout, stderr
}

// inOrder fails unless both distributions and their databases are at the
// version, users can write, and no acknowledged write is lost.
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
	st, err := rollback.ReadStatus(s.state())
	require.NoError(t, err)
	require.Nil(t, st.Pending)
}

// databases lists the databases on the server. An update leaves none behind.
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

const migrationDone = "SELECT 1;"

// killMidway starts an update and kills it with SIGKILL while the second
// installer is changing its database.
func (s *realSite) killMidway(t *testing.T) {
	t.Helper()
	marker := filepath.Join(s.site, bundle[1].database+".migrating")
	s.killWhen(t, func() bool {
		_, err := os.Stat(marker)
		return err == nil
	})
	require.FileExists(t, marker, "the installer is still running")
}

// killWhen starts an update and kills it with SIGKILL once at returns true.
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
			t.Fatalf("the update exited before it could be killed: %s", out.String())
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
	again int // how often the data was rolled back under the user
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
				time.Sleep(250 * time.Millisecond) // kept out: try again. A connection costs the server as much as 100 writes
				continue
			}
			for err == nil {
				w.mu.Lock()
				id, again := w.acked+1, w.again
				w.mu.Unlock()
				if _, err = conn.Exec(ctx, "INSERT INTO entry (id, text) VALUES ($1, 'entry ' || $1::int) ON CONFLICT DO NOTHING", id); err == nil {
					w.mu.Lock()
					if again == w.again {
						w.acked = id
					}
					w.mu.Unlock()
					time.Sleep(10 * time.Millisecond)
				}
			}
			_ = conn.Close(context.WithoutCancel(ctx))
		}
	}()
	return w
}
