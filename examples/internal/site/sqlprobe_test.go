package site

import (
	"database/sql"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The library links no driver: its version query is tested here, with real
// drivers and databases.

func openDatabase(t *testing.T, driver, source string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, source)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func statement(t *testing.T, db *sql.DB, text string) {
	t.Helper()
	_, err := db.Exec(text)
	require.NoError(t, err)
}

func TestVersionQueryOfSQLite(t *testing.T) {
	db := openDatabase(t, "sqlite", filepath.Join(t.TempDir(), "Опека.db"))
	p := install.SQLProbe{DB: db, Query: "SELECT version FROM about"}
	_, err := p.Version(t.Context())
	require.ErrorContains(t, err, "*sqlite.Error", "its text is not shown")
	p.Explain = func(err error) string { return err.Error() }
	_, err = p.Version(t.Context())
	require.ErrorContains(t, err, "no such table")

	statement(t, db, "CREATE TABLE about (version)")
	_, err = p.Version(t.Context())
	require.ErrorContains(t, err, "returned none")
	statement(t, db, "INSERT INTO about VALUES ('7.13.100')")
	got, err := p.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "7.13.100", got)
	p.Query = "PRAGMA user_version"
	statement(t, db, "PRAGMA user_version = 713")
	got, err = p.Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "713", got)
	statement(t, db, "INSERT INTO about VALUES ('7.12.100')")
	p.Query = "SELECT version FROM about"
	_, err = p.Version(t.Context())
	require.ErrorContains(t, err, "more than one")
	p.Query, p.Timeout = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n", 200*time.Millisecond
	begun := time.Now()
	_, err = p.Version(t.Context())
	require.ErrorContains(t, err, "deadline")
	require.Less(t, time.Since(begun), 10*time.Second)
}

// R12 on a real server: the tables do not exist yet, then logins are refused. Both
// are progress, and no error shows a password.
func TestVersionQueryOfPostgreSQL(t *testing.T) {
	c := realtest.Postgres(t)
	addr := "127.0.0.1:" + strconv.Itoa(c.Port)
	probe := func(uri string) install.TCPProbe {
		return install.TCPProbe{Addr: addr, Then: install.SQLProbe{DB: openDatabase(t, "pgx", uri), Query: "SELECT version FROM about"}}
	}
	refused := func(p install.Probe, want string) {
		t.Helper()
		_, err := p.Version(t.Context())
		require.ErrorContains(t, err, want)
		require.NotErrorIs(t, err, install.ErrFailed)
		require.NotContains(t, err.Error(), c.Password)
		require.NotContains(t, err.Error(), "hunter2")
	}
	p := probe(c.Admin("postgres"))
	refused(p, "SQLSTATE 42P01")
	refused(probe(c.URI("postgres", "hunter2", "postgres")), "SQLSTATE 28P01")
	refused(probe(c.Admin("nothing")), "SQLSTATE 3D000")
	admin := openDatabase(t, "pgx", c.Admin("postgres"))
	statement(t, admin, "CREATE TABLE about AS SELECT '7.04.100'::text AS version")
	statement(t, admin, "CREATE ROLE asp LOGIN PASSWORD 'hunter2'")
	statement(t, admin, "GRANT SELECT ON about TO asp")
	statement(t, admin, "CREATE DATABASE asp")
	statement(t, admin, "ALTER DATABASE asp CONNECTION LIMIT 0")
	refused(probe(c.URI("asp", "hunter2", "asp")), "SQLSTATE 53300")
	for _, ok := range []install.Probe{p, probe(c.URI("asp", "hunter2", "postgres"))} {
		got, err := ok.Version(t.Context())
		require.NoError(t, err)
		require.Equal(t, "7.04.100", got)
	}

	// The probe of a configuration leaves no session open.
	statement(t, openDatabase(t, "pgx", c.Admin("asp")), "CREATE TABLE about AS SELECT '7.04.100'::text AS version")
	statement(t, openDatabase(t, "pgx", c.Admin("asp")), "GRANT SELECT ON about TO asp")
	conf := probeConfig{TCP: addr, SQL: "SELECT version FROM about", InDB: "АСП"}
	require.NoError(t, conf.connect(&Config{Postgres: []postgresConfig{{Name: "АСП", secret: hidden(c.Admin("asp"))}}}))
	_, err := newProbe(conf, nil).Version(t.Context())
	require.ErrorContains(t, err, "belongs to a superuser")
	conf.Role = "asp"
	require.NoError(t, conf.connect(&Config{Postgres: []postgresConfig{{Name: "АСП", secret: hidden(c.Admin("asp"))}}}))
	got, err := newProbe(conf, nil).Version(t.Context())
	require.NoError(t, err)
	require.Equal(t, "7.04.100", string(got))
	sessions := install.SQLProbe{DB: admin, Query: "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'aspupdate'"}
	require.Eventually(t, func() bool { got, err := sessions.Version(t.Context()); return err == nil && got == "0" }, 10*time.Second, 10*time.Millisecond)

	slow := p.Then.(install.SQLProbe)
	slow.Query, slow.Timeout = "SELECT pg_sleep(60)::text", 200*time.Millisecond
	refused(slow, "deadline")

	gone := install.SQLProbe{DB: openDatabase(t, "pgx", strings.Replace(c.URI("asp", "hunter2", "asp"), addr, "127.0.0.1:1", 1)), Query: "SELECT 1"}
	refused(gone, "no connection: connection refused")
	unreadable := "postgres://asp:hunter2@127.0.0.1:x/asp"
	refused(install.SQLProbe{DB: openDatabase(t, "pgx", unreadable), Query: "SELECT 1"}, "is not shown")
	c.Stop()
	refused(p, "cannot connect to "+addr)
}

// TestR12OnARealServer has both phases of a restructuring (R12): first errors,
// then refused logins.
func TestR12OnARealServer(t *testing.T) {
	c := realtest.Postgres(t)
	admin := openDatabase(t, "pgx", c.Admin("postgres"))
	statement(t, admin, "CREATE DATABASE asp")
	statement(t, admin, "CREATE ROLE asp LOGIN PASSWORD 'hunter2'")
	db := openDatabase(t, "pgx", c.URI("asp", "hunter2", "asp"))
	db.SetMaxIdleConns(0)
	app := openDatabase(t, "pgx", c.Admin("asp"))
	var seen []string
	err := install.Await(t.Context(), install.SQLProbe{DB: db, Query: "SELECT version FROM about"}, "7.13.100", install.AwaitOptions{
		Deadline: time.Minute, Interval: time.Millisecond, ReportInterval: time.Nanosecond,
		Observe: func(e install.Event) {
			seen = append(seen, e.Text)
			switch len(seen) {
			case 1:
				statement(t, app, "CREATE TABLE about AS SELECT '7.12.100' AS version")
				statement(t, app, "GRANT SELECT ON about TO asp")
			case 2:
				statement(t, admin, "ALTER DATABASE asp CONNECTION LIMIT 0")
			case 3:
				statement(t, app, "UPDATE about SET version = '7.13.100'")
				statement(t, admin, "ALTER DATABASE asp CONNECTION LIMIT -1")
			}
		},
	})
	require.NoError(t, err)
	require.Len(t, seen, 4)
	for i, want := range []string{"SQLSTATE 42P01", `version "7.12.100" answers`, "SQLSTATE 53300", "version 7.13.100 is healthy"} {
		require.Contains(t, seen[i], want)
	}
	require.Contains(t, seen[0], "restructuring, 0 min so far, usually at most 15")
}

// TestEveryDatabaseAnswersTheVersion: a probe of a pattern asks each database that matches now, and each
// that an update was planned with.
func TestEveryDatabaseAnswersTheVersion(t *testing.T) {
	t.Parallel()
	c := realtest.Postgres(t)
	admin := openDatabase(t, "pgx", c.Admin("postgres"))
	statement(t, admin, "CREATE ROLE asp_probe")
	in := func(name, text string) {
		db, err := sql.Open("pgx", c.Admin(name))
		require.NoError(t, err)
		statement(t, db, text)
		require.NoError(t, db.Close())
	}
	asp := []string{"asp_1", "asp_2", `asp_ Опека "3"`, "asp_4", "opeka"}
	for _, name := range asp {
		statement(t, admin, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
		in(name, "CREATE TABLE about AS SELECT '7.12.100'::text AS version")
		in(name, "GRANT SELECT ON about TO asp_probe")
	}
	in("opeka", "UPDATE about SET version = '1.01.100'") // of another application
	conf := &Config{Postgres: []postgresConfig{{Databases: "asp_*", Except: []string{"asp_test*"}, secret: hidden(c.Admin("postgres"))}}}
	p := probeConfig{SQL: "SELECT version FROM about", InDB: "asp_*", Role: "asp_probe"}
	require.NoError(t, p.connect(conf))
	ask := func(p probeConfig) (string, error) {
		got, err := newProbe(p, nil).Version(t.Context())
		if err != nil {
			require.NotContains(t, err.Error(), c.Password)
			require.NotErrorIs(t, err, install.ErrFailed)
		}
		return string(got), err
	}
	got, err := ask(p)
	require.NoError(t, err)
	require.Equal(t, "7.12.100", got)

	// One is not restructured yet, or has failed.
	in("asp_2", "UPDATE about SET version = '7.13.100'")
	_, err = ask(p)
	require.ErrorContains(t, err, `the databases answer different versions: "7.12.100": asp_ Опека "3", asp_1, asp_4; "7.13.100": asp_2`)
	for _, name := range asp[:4] {
		in(name, "UPDATE about SET version = '7.13.100'")
	}
	in("asp_4", "ALTER TABLE about RENAME TO about_old")
	_, err = ask(p)
	require.ErrorContains(t, err, "asp_4: the database does not answer the version query: ")
	in("asp_4", "ALTER TABLE about_old RENAME TO about")
	in("asp_4", "UPDATE about SET version = repeat('7', 300)")
	_, err = ask(p)
	require.ErrorContains(t, err, "asp_4: the version query returned more than a version")
	in("asp_4", "UPDATE about SET version = '7.13.100'")

	// One that appears counts, and one that an update was planned with is not forgotten.
	resolved, err := (&Site{Config: conf}).resolved(t.Context())
	require.NoError(t, err)
	planned := p.planned(resolved.Config)
	got, err = ask(planned)
	require.NoError(t, err)
	require.Equal(t, "7.13.100", got)
	statement(t, admin, "CREATE DATABASE asp_5")
	_, err = ask(planned)
	require.ErrorContains(t, err, "asp_5: ")
	statement(t, admin, "DROP DATABASE asp_5")
	statement(t, admin, "DROP DATABASE asp_1")
	_, err = ask(planned)
	require.ErrorContains(t, err, "asp_1: ")
	got, err = ask(p)
	require.NoError(t, err)
	require.Equal(t, "7.13.100", got)

	none := p
	none.sources = []source{{names{kind: "postgres", pattern: "tula_*"}, hidden(c.Admin("postgres"))}}
	_, err = ask(none)
	require.ErrorContains(t, err, "no database of the server matches")
	c.Stop()
	_, err = ask(p)
	require.ErrorContains(t, err, "cannot list the databases of the server")
}
