package postgres

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/backup"
)

// fakeTools returns a directory with programs that print a version or run the script.
func fakeTools(t *testing.T, version, script string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake tools are shell scripts")
	}
	dir := t.TempDir()
	for _, name := range []string{"pg_dump", "pg_restore"} {
		text := "#!/bin/sh\nif [ \"$1\" = --version ]; then echo '" + name + " (PostgreSQL) " + version + "'; exit 0; fi\n" + script + "\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	return dir
}

func TestToolsMustFitTheServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, bin := range map[string]string{
		"none": t.TempDir(), "too old": fakeTools(t, "9.6.1", "exit 1"), "odd": fakeTools(t, "devel", "exit 1"),
	} {
		w.db.Bin = bin
		require.ErrorIs(t, w.db.check(t.Context()), backup.ErrIncompatible, name)
		_, err := w.store.Take(t.Context(), name, w.db)
		require.ErrorIs(t, err, backup.ErrIncompatible, name)
	}
	w.db.Bin = ""
	require.NoError(t, w.db.check(t.Context()))
	server, dump, err := w.db.Versions(t.Context())
	require.NoError(t, err)
	require.Regexp(t, `^[0-9]+`, server)
	require.Contains(t, dump, "pg_dump (PostgreSQL) "+strings.FieldsFunc(server, func(r rune) bool { return r == '.' || r == ' ' })[0])
	require.Empty(t, w.kinds(t))
}

func TestFailedDumpLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.Bin = fakeTools(t, "99.1", "echo half a dump; echo 'pg_dump: error: it broke' >&2; exit 1")
	_, err := w.store.Take(t.Context(), "x", w.db)
	require.ErrorContains(t, err, "pg_dump: error: it broke")
	require.Empty(t, w.kinds(t))
	list, err := w.store.List()
	require.NoError(t, err)
	require.Empty(t, list)
}

// All accounts of the machine can read arguments (Must hold 9).
func TestPasswordIsNotAnArgument(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seen := filepath.Join(t.TempDir(), "seen")
	w.db.Bin = fakeTools(t, "99.1", `printf '%s\n' "$@" >`+seen+`; printf '%s' "$PGPASSWORD" >`+seen+`.env; exit 1`)
	_, err := w.store.Take(t.Context(), "x", w.db)
	require.Error(t, err)
	require.NotContains(t, err.Error(), w.c.Password)
	args, err := os.ReadFile(seen)
	require.NoError(t, err)
	require.Contains(t, string(args), "--dbname=host='127.0.0.1'")
	require.NotContains(t, string(args), w.c.Password)
	env, err := os.ReadFile(seen + ".env")
	require.NoError(t, err)
	require.Equal(t, w.c.Password, string(env))

	for _, uri := range []string{w.c.URI("postgres", "wrong-secret", w.name), "postgres://u:wrong-secret@127.0.0.1:bad/x", "host=a password=wrong-secret port=bad"} {
		err := (&Database{URI: uri}).check(t.Context())
		require.Error(t, err)
		require.NotContains(t, err.Error(), "wrong-secret")
	}
}

func TestConnectionByPasswordFileAndVariables(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "pgpass")
	require.NoError(t, os.WriteFile(file, []byte("127.0.0.1:*:*:postgres:"+w.c.Password+"\n"), 0o600))
	service := filepath.Join(t.TempDir(), "services")
	require.NoError(t, os.WriteFile(service, []byte("[asp]\nhost=127.0.0.1\nuser=postgres\ndbname=postgres\n"), 0o600))
	t.Setenv("PGPASSFILE", file)
	t.Setenv("PGSERVICEFILE", service)
	t.Setenv("PGPORT", strconv.Itoa(w.c.Port))
	t.Setenv("PGDATABASE", "postgres")
	quoted := conninfo("service", "asp", "dbname", w.name, "sslmode", "disable", "port", strconv.Itoa(w.c.Port))
	db := &Database{URI: quoted, Bin: w.c.Bin}
	snap, err := w.store.Take(t.Context(), "x", db)
	require.NoError(t, err)
	f, err := readFacts(snap.Meta)
	require.NoError(t, err)
	require.Equal(t, w.name, f.Database)
	require.NotContains(t, string(snap.Meta.Detail), w.c.Password)
	w.update(t)
	require.NoError(t, db.Tidy(t.Context()))
	_, err = w.store.Restore(t.Context(), snap.ID, db)
	require.NoError(t, err, "pg_restore connects in the same way")
}

func TestConfigRefuses(t *testing.T) {
	for uri, say := range map[string]string{
		"postgres://a@h1,h2/app":                     "several servers",
		"postgres://a@h1/postgres":                   "maintenance database",
		"postgres://a@h1/" + strings.Repeat("x", 64): "longer than 63",
	} {
		_, err := (&Database{URI: uri}).config()
		require.ErrorContains(t, err, say)
	}
	cfg, err := (&Database{URI: "postgres://a@h1/app?sslmode=prefer"}).config()
	require.NoError(t, err)
	require.Equal(t, "app", cfg.Database)
}

func TestBesideNameAndKindOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		db := rapid.StringN(1, 40, maxIdentifier).Draw(t, "db")
		other := rapid.StringN(1, 40, maxIdentifier).Draw(t, "other")
		kind := rapid.SampledFrom([]string{kindClone, kindNew, kindOld}).Draw(t, "kind")
		name := besideName(db, kind, newMark())
		if len(name) > maxIdentifier || utf8.ValidString(db) && !utf8.ValidString(name) {
			t.Fatalf("invalid name %q", name)
		}
		if kindOf(db, name) != kind {
			t.Fatalf("kindOf(%q, %q) = %q", db, name, kindOf(db, name))
		}
		if db != other && kindOf(other, name) != "" {
			t.Fatalf("%q counts as one of %q", name, other)
		}
		if kindOf(db, db) != "" {
			t.Fatalf("%q counts as its own copy", db)
		}
	})
}

func TestPassedOn(t *testing.T) {
	for conn, want := range map[string][]string{
		"postgres://u:p@h/db?sslmode=verify-full&application_name=x": {"PGSSLMODE=verify-full"},
		`host=h password='a b sslmode=disable' sslmode = require`:    {"PGSSLMODE=require"},
		`sslrootcert='C:\\a\'b.crt' dbname=x`:                        {`PGSSLROOTCERT=C:\a'b.crt`},
		"service=asp":                                                {"PGSERVICE=asp"},
		"":                                                           nil,
	} {
		require.Equal(t, want, passedOn(conn), conn)
	}
}

func TestSettingStatement(t *testing.T) {
	for _, c := range []struct {
		st   setting
		want string
	}{
		{setting{Name: "search_path", Value: `"$user", public, "a "", b"`}, `ALTER DATABASE "d" SET "search_path" TO '$user', 'public', 'a ", b'`},
		{setting{Name: "search_path", Value: `""`}, `ALTER DATABASE "d" SET "search_path" TO ''`},
		{setting{Name: "search_path"}, `ALTER DATABASE "d" SET "search_path" TO ''`},
		{setting{Name: "my.x", Value: `it's a \`}, `ALTER DATABASE "d" SET "my"."x" TO  E'it''s a \\'`},
		{setting{Role: `r"`, Name: "work_mem", Value: "8MB"}, `ALTER ROLE "r""" IN DATABASE "d" SET "work_mem" TO '8MB'`},
	} {
		require.Equal(t, c.want, settingStatement(`"d"`, c.st))
	}
}

func FuzzParsers(f *testing.F) {
	for _, s := range []string{`"$user", public`, `a='b\'`, "x = y z='", "postgres://h/?sslmode=", `"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_ = splitList(s)
		_ = passedOn(s)
		if v, rest := cutValue(s); len(v)+len(rest) > len(s) {
			t.Fatalf("%q grew to %q and %q", s, v, rest)
		}
		// What is quoted for libpq is read back as it was.
		got := passedOn(conninfo("host", s, "sslmode", s))
		if len(got) != 1 || got[0] != "PGSSLMODE="+s {
			t.Fatalf("%q came back as %q", s, got)
		}
	})
}

// Must hold 11: archive, backups and state must not lie in the server's directory.
func TestDataDir(t *testing.T) {
	w := newWorld(t)
	dir, err := w.db.DataDir(t.Context())
	require.NoError(t, err)
	require.Equal(t, w.c.Data, dir)
}

func TestProgressOfTheDump(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.Bin = fakeTools(t, "99.1", "printf abc; sleep 1.1; printf de")
	var reported []backup.Event
	w.db.Observe = func(e backup.Event) {
		if e.Kind == eventDump {
			reported = append(reported, e)
		}
	}
	w.take(t)
	require.Len(t, reported, 2, "when it begins, and once a second")
	require.Zero(t, reported[0].Done)
	require.Equal(t, int64(5), reported[1].Done)
	require.Positive(t, reported[1].Rate)
}

// What a program prints after an error may quote rows, and the statements passwords.
func TestErrorsQuoteNoRowsAndNoStatements(t *testing.T) {
	private := privateLines("pg_restore.exe")
	var kept []string
	for line := range strings.Lines(`pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3361; 2606 16394 CHECK CONSTRAINT child c postgres
pg_restore: error: could not execute query: ERROR:  check constraint "c" of relation "child" is violated by some row
DETAIL:  Failing row contains (1, Иванова
Мария, F20.0).
Command was: CREATE USER MAPPING FOR app SERVER s OPTIONS (
password 'hunter2'
);
pg_restore: error: COPY failed for table "child": ERROR:  duplicate key value violates unique constraint "child_pkey"
DETAIL:  Key (name)=(Иванова) already exists.
CONTEXT:  COPY child, line 1: "Иванова"
pg_restore: detail: Command was: SELECT 'hunter2'
pg_restore: warning: errors ignored on restore: 2
`) {
		if !private(line) {
			kept = append(kept, strings.TrimSpace(line))
		}
	}
	require.Equal(t, []string{
		"pg_restore: while PROCESSING TOC:",
		"pg_restore: from TOC entry 3361; 2606 16394 CHECK CONSTRAINT child c postgres",
		`pg_restore: error: could not execute query: ERROR:  check constraint "c" of relation "child" is violated by some row`,
		`pg_restore: error: COPY failed for table "child": ERROR:  duplicate key value violates unique constraint "child_pkey"`,
		"pg_restore: warning: errors ignored on restore: 2",
	}, kept)
}
