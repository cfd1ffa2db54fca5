package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// execute runs a statement in a session of its own.
func execute(t *testing.T, uri, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), uri)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

// TestR15WhatDiffersIsKeptAndTakenByName rolls back a database whose constraint writes
// rows while the dump is loaded, as plain pg_restore would have it: what comes out differs.
// It stays beside, the differences are named, and a person takes it by name.
func TestR15WhatDiffersIsKeptAndTakenByName(t *testing.T) {
	t.Parallel()
	cluster := realtest.Postgres(t)
	ask := func(database, sql string) (answer string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), cluster.Admin(database))
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close(t.Context())) }()
		require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&answer))
		return answer
	}
	run := func(database, sql string) { execute(t, cluster.Admin(database), sql) }
	run("postgres", "CREATE ROLE clerk LOGIN PASSWORD 'clerk'")
	run("postgres", "CREATE DATABASE asp OWNER clerk")
	run("asp", `GRANT ALL ON SCHEMA public TO clerk; SET ROLE clerk;
		CREATE TABLE audit (n int);
		CREATE FUNCTION seen(int) RETURNS bool LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.audit VALUES ($1); RETURN true; END';
		CREATE TABLE entry (n int CHECK (public.seen(n)));
		INSERT INTO entry SELECT generate_series(1, 3)`)

	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
[[postgres]]
name = 'asp'
uri_file = '${OWN}/asp.uri'`, "")
	require.NoError(t, os.WriteFile(filepath.Join(s.own, "asp.uri"), []byte(cluster.Admin("asp")+"\n"), 0o600))
	s.installed("7.12.100")
	psql := "'" + filepath.Join(cluster.Bin, "psql") + "' -XAtq "
	s.publish("7.12.200", "Setup", "echo broken > $1/version\n"+
		psql+"'"+cluster.Admin("asp")+"' -c \"INSERT INTO entry VALUES (4)\"\n"+
		psql+"'"+cluster.Admin("postgres")+"' -c \"SELECT format('DROP DATABASE %I', datname) FROM pg_database WHERE datname LIKE 'asp_aspupdate_clone%'\" | "+
		psql+"'"+cluster.Admin("postgres")+"'\n")

	const beside = "SELECT coalesce(string_agg(datname, ' '), '') FROM pg_database WHERE datname LIKE 'asp_aspupdate_differs_%'"
	const rows = "SELECT (SELECT count(*) FROM entry) || ' ' || (SELECT count(*) FROM audit)"
	code, out := s.run("update")
	require.Equal(t, exitOperator, code, out)
	require.Contains(t, out, `"public"."audit" has 6 rows`)
	first := ask("postgres", beside)
	require.Contains(t, out, `as the database "`+first+`"`)
	require.Equal(t, "3 6", ask(first, rows), "a person can look at it")
	require.Equal(t, "4 4", ask("asp", rows), "the live one is untouched")

	code, out = s.run("recover", "--differing", "postgres asp")
	require.Equal(t, exitUsage, code, out)
	code, out = s.run("recover", "--retry", "a wrong name", "--differing", "asp")
	require.Equal(t, exitRefused, code, out)
	code, out = s.run("recover", "--retry", "once more")
	require.Equal(t, exitOperator, code, out)
	second := ask("postgres", beside)
	require.NotEqual(t, first, second)
	require.NotContains(t, second, " ", "there is never more than one")
	require.FileExists(t, filepath.Join(s.own, "closed"), "users are kept out until a person decides")

	code, out = s.run("status", "--json")
	require.Equal(t, exitOperator, code, out)
	var d statusDoc
	require.NoError(t, json.Unmarshal([]byte(out[:strings.LastIndex(out, "}")+1]), &d))
	require.Len(t, d.Pending.Differs, 1)
	require.Equal(t, second, d.Pending.Differs[0].Beside)
	require.Contains(t, d.Pending.Differs[0].Differences[0], `"public"."audit" has 6 rows`)
	_, out = s.run("status")
	require.Contains(t, out, `postgres asp was restored beside as "`+second+`", and differs from its snapshot:`)
	require.Contains(t, out, "aspupdate recover --retry REASON --differing 'postgres asp' (puts it in place)")

	code, out = s.run("recover", "--retry", "the audit has each row twice", "--differing", "postgres asp")
	require.Zero(t, code, out)
	require.Equal(t, "7.12.100\n", s.read("version"))
	require.Equal(t, "3 6", ask("asp", rows))
	require.Empty(t, ask("postgres", beside), "it has the name of the live one now")
	require.NoFileExists(t, filepath.Join(s.own, "closed"))
	old := ask("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'asp_aspupdate_old_%'")
	run("postgres", "ALTER DATABASE "+old+" ALLOW_CONNECTIONS true")
	require.Equal(t, "4 4", ask(old, rows), "what it replaced is still there")
	code, out = s.run("status")
	require.Zero(t, code, out)
	require.Contains(t, out, "although it differs: postgres asp, because: the audit has each row twice")
	require.Contains(t, out, "set aside by rollback", "and a snapshot of what was live until a person forgets it")
}

// TestR15WhatTheSetupWritesIntoADatabaseIsForAPerson rolls back by a previous Setup that writes
// into the database that has just been restored. Users stay out until a person has looked at it.
func TestR15WhatTheSetupWritesIntoADatabaseIsForAPerson(t *testing.T) {
	t.Parallel()
	cluster := realtest.Postgres(t)
	run := func(database, sql string) { execute(t, cluster.Admin(database), sql) }
	run("postgres", "CREATE DATABASE asp")
	run("asp", "CREATE TABLE families (n int); INSERT INTO families VALUES (1); CREATE TABLE settings (name text, value text); INSERT INTO settings VALUES ('color', 'blue')")
	s := newScriptSite(t, `
stop = ['/bin/rm', '-f', '${SITE}/running']
start = ['/bin/touch', '${SITE}/running']
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
[[postgres]]
name = 'asp'
uri_file = '${OWN}/asp.uri'`, "")
	require.NoError(t, os.WriteFile(filepath.Join(s.own, "asp.uri"), []byte(cluster.Admin("asp")+"\n"), 0o600))
	psql := "'" + filepath.Join(cluster.Bin, "psql") + "' -XAtq '" + cluster.Admin("asp") + "' -c "
	config, err := os.ReadFile(s.config())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.config(), []byte(strings.Replace(string(config), "['/bin/cat', ", "['/bin/sh', '-c', '[ -e \"${0%/*}/running\" ] && cat $0', ", 1)), 0o600))
	s.write(filepath.Join(s.site, "running"), "")
	s.installedBy("7.12.100", psql+`"UPDATE settings SET value = 'green'"`+"\n")
	s.publish("7.12.200", "Setup", "echo broken > $1/version\n"+psql+`"INSERT INTO families VALUES (2)"`+"\n")

	code, out := s.run("update")
	require.Equal(t, exitOperator, code, out)
	require.Contains(t, out, `its Setup has changed it: compare database asp`)
	require.Contains(t, out, `"public"."settings" has 1 rows with sum`)
	require.NotContains(t, out, "families")
	require.Contains(t, out, "if that is what the previous version's Setup writes, aspupdate recover --accept REASON")
	require.FileExists(t, filepath.Join(s.own, "closed"))
	require.Equal(t, "7.12.100\n", s.read("version"))
	code, out = s.run("recover", "--accept", "green is right")
	require.Zero(t, code, out)
	require.NoFileExists(t, filepath.Join(s.own, "closed"))
	code, out = s.run("status")
	require.Zero(t, code, out)

	// The site says that its Setup does that.
	config, err = os.ReadFile(s.config())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.config(), append([]byte("setup_writes = 'it writes the color'\n"), config...), 0o600))
	run("asp", "UPDATE settings SET value = 'blue'")
	s.publish("7.12.300", "Setup", "echo broken > $1/version\n"+psql+`"INSERT INTO families VALUES (2)"`+"\n")
	code, out = s.run("update")
	require.Equal(t, exitRolledBack, code, out)
	require.Contains(t, out, `after the previous version's Setup, which writes there (it writes the color): compare database asp`)
	require.Contains(t, out, `"public"."settings" has 1 rows with sum`)
}

// TestShortUpdateHasNoClone updates a database whose site prefers a short update, and rolls a
// failing one back from the dump.
func TestShortUpdateHasNoClone(t *testing.T) {
	t.Parallel()
	cluster := realtest.Postgres(t)
	execute(t, cluster.Admin("postgres"), "CREATE DATABASE asp")
	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
[[postgres]]
name = 'asp'
no_clone = true
uri_file = '${OWN}/asp.uri'`, "")
	require.NoError(t, os.WriteFile(filepath.Join(s.own, "asp.uri"), []byte(cluster.Admin("asp")+"\n"), 0o600))
	psql := "'" + filepath.Join(cluster.Bin, "psql") + "' -XAtq '" + cluster.Admin("asp") + "' "
	s.installed("7.12.100")
	list := psql + `-c "SELECT datname FROM pg_database WHERE datname LIKE 'asp%'" > $1/databases` + "\n"
	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n"+psql+"-c 'CREATE TABLE families AS SELECT 1 AS n'\n"+list)
	code, out := s.run("fetch")
	require.Zero(t, code, out)
	code, out = s.run("plan")
	require.Zero(t, code, out)
	require.Contains(t, out, "without a clone, so a shorter update and a longer rollback: asp")
	code, out = s.run("update")
	require.Zero(t, code, out)
	require.Equal(t, "asp\n", s.read("databases"), "there is no clone beside it")
	s.publish("7.12.300", "Setup", "echo broken > $1/version\n"+psql+"-c 'DROP TABLE families'\n")
	code, out = s.run("update")
	require.Equal(t, exitRolledBack, code, out)
	conn, err := pgx.Connect(t.Context(), cluster.Admin("asp"))
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT n FROM families").Scan(&n))
	require.Equal(t, 1, n)
}
