package site

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/backuptest"
	"github.com/aspupdate/aspupdate/backup/files"
)

// The library links no SQLite driver: its SQLite target is tested here, with the
// driver of the program.

func openSQLite(path string) (*sql.DB, error) { return sql.Open("sqlite", path) }

type sqliteWorld struct {
	path   string
	target *files.SQLite
	store  *backup.Store
}

func newSQLite(t *testing.T, mode string) sqliteWorld {
	t.Helper()
	w := sqliteWorld{path: filepath.Join(t.TempDir(), "Опека 'и' попечительство.db")}
	w.store = &backup.Store{Dir: filepath.Join(t.TempDir(), "it's a store")}
	w.target = &files.SQLite{Path: w.path, Open: openSQLite}
	w.exec(t, "PRAGMA journal_mode = "+mode, `CREATE TABLE children (id INTEGER PRIMARY KEY, name TEXT, photo BLOB)`,
		`INSERT INTO children (name, photo) VALUES ('Имя', x'00ff'), (NULL, NULL)`, "PRAGMA user_version = 712", "PRAGMA application_id = 77")
	return w
}

func (w sqliteWorld) exec(t *testing.T, statements ...string) {
	t.Helper()
	db, err := openSQLite(w.path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, s := range statements {
		_, err := db.Exec(s)
		require.NoError(t, err, s)
	}
}

func (w sqliteWorld) change(t *testing.T) {
	t.Helper()
	w.exec(t, "UPDATE children SET name = coalesce(name, '') || '!'", "INSERT INTO children (name) VALUES ('new')",
		"CREATE TABLE IF NOT EXISTS added (x)", "INSERT INTO added VALUES (1)", "PRAGMA user_version = 713")
}

// sqliteState returns what is in the database at path, and its journal mode.
func sqliteState(t *testing.T, path string) string {
	t.Helper()
	db, err := openSQLite(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	var b strings.Builder
	for _, q := range []string{"SELECT sql FROM sqlite_schema ORDER BY name", "SELECT * FROM children ORDER BY id",
		"PRAGMA user_version", "PRAGMA application_id", "PRAGMA journal_mode", "PRAGMA integrity_check"} {
		rows, err := db.Query(q)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = &values[i]
			}
			require.NoError(t, rows.Scan(values...))
			fmt.Fprintln(&b, values...)
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	return b.String()
}

func (w sqliteWorld) state(t *testing.T) string { return sqliteState(t, w.path) }

func TestSQLiteIsATarget(t *testing.T) {
	for _, mode := range []string{"WAL", "DELETE"} {
		t.Run(mode, func(t *testing.T) {
			backuptest.Test(t, func(t *testing.T) backuptest.Fixture {
				w := newSQLite(t, mode)
				return backuptest.Fixture{Target: w.target, Change: w.change, State: w.state}
			})
		})
	}
}

// A driver's own settings may write into what it opens: it never opens the backup.
func TestSQLiteWhoseDriverWrites(t *testing.T) {
	backuptest.Test(t, func(t *testing.T) backuptest.Fixture {
		w := newSQLite(t, "WAL")
		w.target.Open = func(path string) (*sql.DB, error) {
			db, err := openSQLite(path)
			if err == nil {
				_, err = db.Exec("PRAGMA journal_mode = WAL; PRAGMA wal_checkpoint")
			}
			return db, err
		}
		return backuptest.Fixture{Target: w.target, Change: w.change, State: w.state}
	})
}

// An application that was killed leaves its write-ahead log. The log has
// acknowledged writes: a backup includes them and Undo restores them, but they
// must not be replayed into the restored database.
func TestSQLiteWithALogLeftBehind(t *testing.T) {
	w := newSQLite(t, "WAL")
	dead := killedWriter(t, w.path, "INSERT INTO children (name) VALUES ('only in the log')")
	before := sqliteState(t, copySQLite(t, w.path))
	require.Contains(t, before, "only in the log")
	snap, err := w.store.Take(t.Context(), "x", w.target)
	require.NoError(t, err)

	dead(t)
	again := killedWriter(t, w.path, "DELETE FROM children", "PRAGMA user_version = 999")
	again(t)
	require.FileExists(t, w.path+"-wal")
	changed := sqliteState(t, copySQLite(t, w.path))
	r, err := w.store.Restore(t.Context(), snap.ID, w.target)
	require.NoError(t, err)
	require.NoFileExists(t, w.path+"-wal", "a stale log would be replayed into the new database")
	require.NoFileExists(t, w.path+"-shm")
	require.Equal(t, before, w.state(t))

	require.NoError(t, r.Undo(t.Context()))
	require.FileExists(t, w.path+"-wal", "the log goes with its database")
	require.Equal(t, changed, w.state(t))
}

// killedWriter writes without closing the database. It returns a function that
// leaves the files as a killed process does: it closes the database and puts back
// the files as they were before.
func killedWriter(t *testing.T, path string, statements ...string) (kill func(*testing.T)) {
	t.Helper()
	db, err := openSQLite(path)
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	for _, s := range append([]string{"PRAGMA wal_autocheckpoint = 0"}, statements...) {
		_, err := db.Exec(s)
		require.NoError(t, err, s)
	}
	return func(t *testing.T) {
		t.Helper()
		kept := copySQLite(t, path)
		require.NoError(t, db.Close()) // this checkpoints and removes the log
		for _, c := range []string{"", "-wal"} {
			data, err := os.ReadFile(kept + c)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path+c, data, 0o600))
		}
	}
}

// copySQLite copies the database and its log, so that reading does not change them.
func copySQLite(t *testing.T, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	for _, c := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + c)
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(to+c, data, 0o600))
	}
	return to
}

// If a swap of several files is cut short anywhere, the database is the old or
// the restored one, with its own log.
func TestSQLiteSwapKilledHalfWay(t *testing.T) {
	w := newSQLite(t, "WAL")
	kill := killedWriter(t, w.path, "INSERT INTO children (name) VALUES ('in the old log')")
	kill(t)
	old := sqliteState(t, copySQLite(t, w.path))
	main, err := os.ReadFile(w.path)
	require.NoError(t, err)
	log, err := os.ReadFile(w.path + "-wal")
	require.NoError(t, err)
	foreign := newSQLite(t, "WAL")
	killedWriter(t, foreign.path, "INSERT INTO children (name) VALUES ('in the undone log')")(t)
	otherMain, err := os.ReadFile(foreign.path)
	require.NoError(t, err)
	otherLog, err := os.ReadFile(foreign.path + "-wal")
	require.NoError(t, err)

	mark := "0123456789ab"
	aside := func(kind string) string { return w.path + "_aspupdate_" + kind + "_" + mark }
	for name, put := range map[string]map[string][]byte{
		"restore: main left":        {aside("old"): main, w.path + "-wal": log, aside("new"): otherMain},
		"restore: all left":         {aside("old"): main, aside("old") + "-wal": log, aside("new"): otherMain},
		"undo: main left":           {aside("undone"): otherMain, w.path + "-wal": otherLog, aside("old"): main, aside("old") + "-wal": log},
		"undo: all left":            {aside("undone"): otherMain, aside("undone") + "-wal": otherLog, aside("old"): main, aside("old") + "-wal": log},
		"undo: renamed in part":     {aside("undone"): otherMain, aside("new") + "-wal": otherLog, aside("old"): main, aside("old") + "-wal": log},
		"undo: renamed":             {aside("new"): otherMain, aside("new") + "-wal": otherLog, aside("old"): main, aside("old") + "-wal": log},
		"undo: old log has arrived": {aside("new"): otherMain, aside("new") + "-wal": otherLog, aside("old"): main, w.path + "-wal": log},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Dir(w.path)
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			for _, e := range entries {
				require.NoError(t, os.Remove(filepath.Join(dir, e.Name())))
			}
			for path, data := range put {
				require.NoError(t, os.WriteFile(path, data, 0o600))
			}
			require.NoError(t, w.target.Tidy(context.WithoutCancel(t.Context())))
			require.Equal(t, old, sqliteState(t, copySQLite(t, w.path)))
			entries, err = os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, entries, 2, "the database, its log and nothing else: %v", entries)
		})
	}
}

func TestSQLiteRefuses(t *testing.T) {
	w := newSQLite(t, "DELETE")
	take := func(target *files.SQLite) error {
		_, err := w.store.Take(t.Context(), "x", target)
		return err
	}
	missing := filepath.Join(t.TempDir(), "missing.db")
	require.ErrorIs(t, take(&files.SQLite{Path: missing, Open: openSQLite}), os.ErrNotExist)
	require.NoFileExists(t, missing, "a backup does not create a database")
	require.ErrorContains(t, take(&files.SQLite{Path: w.path}), "set Open")
	require.Error(t, take(&files.SQLite{Path: t.TempDir(), Open: openSQLite}))
	odd := filepath.Join(t.TempDir(), "odd?name.db")
	data, err := os.ReadFile(w.path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(odd, data, 0o600))
	require.ErrorContains(t, take(&files.SQLite{Path: odd, Open: openSQLite}), "escape the path", "never an empty database instead")
	garbage := filepath.Join(t.TempDir(), "garbage.db")
	text, err := hex.DecodeString(strings.Repeat("c0ffee", 5000))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(garbage, text, 0o600))
	require.Error(t, take(&files.SQLite{Path: garbage, Open: openSQLite}))
	list, err := w.store.List()
	require.NoError(t, err)
	require.Empty(t, list)
}

// A rollback must also replace a file that the update has destroyed.
func TestSQLiteRestoreOverADestroyedFile(t *testing.T) {
	w := newSQLite(t, "WAL")
	before := w.state(t)
	snap, err := w.store.Take(t.Context(), "x", w.target)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.path, []byte("no database at all"), 0o600))
	_, err = w.store.Restore(t.Context(), snap.ID, w.target)
	require.NoError(t, err)
	require.Equal(t, before, w.state(t))
}

func TestR15SQLiteCountsWhatWasEntered(t *testing.T) {
	w := newSQLite(t, "WAL")
	w.exec(t, `CREATE TABLE "it's ""odd""" (x)`)
	got, err := w.target.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"children": 2, `it's "odd"`: 0}, got)
	w.exec(t, "INSERT INTO children (name) VALUES ('new')")
	got, err = w.target.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(3), got["children"])

	missing := filepath.Join(t.TempDir(), "missing.db")
	_, err = (&files.SQLite{Path: missing, Open: openSQLite}).Counts(t.Context())
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoFileExists(t, missing)
}

// VACUUM copies what it can read, and makes indexes anew: a damaged page is found
// by the check before it, when the database can still be repaired.
func TestR9SQLiteDamagedPageIsNotBackedUp(t *testing.T) {
	w := newSQLite(t, "DELETE")
	w.exec(t, "CREATE INDEX names ON children (name)")
	db, err := openSQLite(w.path)
	require.NoError(t, err)
	var page, size int64
	require.NoError(t, db.QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = 'names'").Scan(&page))
	require.NoError(t, db.QueryRow("PRAGMA page_size").Scan(&size))
	require.NoError(t, db.Close())
	data, err := os.ReadFile(w.path)
	require.NoError(t, err)
	index := data[(page-1)*size : page*size]
	at := strings.Index(string(index), "Имя")
	require.Positive(t, at)
	index[at] ^= 1
	require.NoError(t, os.WriteFile(w.path, data, 0o600))
	w.exec(t, "VACUUM INTO '"+filepath.Join(t.TempDir(), "copy.db")+"'") // it notices nothing

	_, err = w.store.Take(t.Context(), "x", w.target)
	require.ErrorContains(t, err, "the database is damaged, SQLite reports: ")
	require.ErrorContains(t, err, "repair it before the update")
}

// A row that breaks a constraint is the application's affair.
func TestSQLiteRowThatBreaksAConstraint(t *testing.T) {
	w := newSQLite(t, "DELETE")
	w.exec(t, "PRAGMA ignore_check_constraints = ON; CREATE TABLE checked (x CHECK (x > 0)); INSERT INTO checked VALUES (-1)")
	snap, err := w.store.Take(t.Context(), "x", w.target)
	require.NoError(t, err)
	_, err = w.store.Prove(t.Context(), snap.ID, w.target)
	require.NoError(t, err)
}

// TestR15SQLiteIsComparedWithItsBackup changes one thing at a time.
func TestR15SQLiteIsComparedWithItsBackup(t *testing.T) {
	columns := make([]string, 1200)
	for i := range columns {
		columns[i] = fmt.Sprintf("c%d", i)
	}
	for _, mode := range []string{"WAL", "DELETE"} {
		w := newSQLite(t, mode)
		w.exec(t, "CREATE TABLE kinds (v)", "INSERT INTO kinds VALUES (1.0e-300), (x'00ff'), ('a' || char(0) || 'b'), (NULL), (9007199254740993), ('same'), ('same')",
			"CREATE TABLE wide ("+strings.Join(columns, ", ")+")", "INSERT INTO wide (c0, c1199) VALUES (1, 2)", `CREATE TABLE "a ""table""" (id TEXT PRIMARY KEY) WITHOUT ROWID`,
			"CREATE VIEW seen AS SELECT * FROM kinds", "CREATE TABLE made (a, b AS (a * 2))", "INSERT INTO made VALUES (1)", "CREATE VIRTUAL TABLE words USING fts5 (word)", "INSERT INTO words VALUES ('дом')")
		snap, err := w.store.Take(t.Context(), "x", w.target)
		require.NoError(t, err)
		dir, err := w.store.Path(snap.Ref())
		require.NoError(t, err)
		compare := func() error {
			again, err := w.target.Compare(t.Context(), dir, snap.Meta)
			require.False(t, again, "a person decides of a database")
			return err
		}
		for _, same := range []string{"SELECT 1", "VACUUM", "ANALYZE", "UPDATE kinds SET v = v", "DELETE FROM kinds WHERE v = 'same'; INSERT INTO kinds VALUES ('same'), ('same')"} {
			w.exec(t, same)
			require.NoError(t, compare(), same)
		}
		for statement, want := range map[string]string{
			"UPDATE kinds SET v = 9007199254740992 WHERE v = 9007199254740993":    "table kinds has 7 rows, backed up with 7, and not the same ones",
			"UPDATE kinds SET v = '9007199254740993' WHERE typeof(v) = 'integer'": "table kinds has 7 rows, backed up with 7, and not the same ones",
			"UPDATE kinds SET v = x'00fe' WHERE typeof(v) = 'blob'":               "table kinds has 7",
			"UPDATE kinds SET v = 'a' || char(0) || 'c' WHERE v LIKE 'a%'":        "table kinds has 7",
			"UPDATE kinds SET v = 2.0e-300 WHERE typeof(v) = 'real'":              "table kinds has 7",
			"DELETE FROM kinds WHERE v = 'same'":                                  "table kinds has 5 rows, backed up with 7",
			"UPDATE wide SET c1199 = 3":                                           "table wide has 1",
			`INSERT INTO "a ""table""" VALUES ('x')`:                              `table a "table" has 1 rows, backed up with 0`,
			"INSERT INTO words VALUES ('сад')":                                    "words_content has 2",
			"DROP TABLE made":                                                     "table made is missing",
			"CREATE TABLE another (x)":                                            "table another is not in the backup",
			"DROP VIEW seen; CREATE VIEW seen AS SELECT 1":                        `view seen is now "CREATE VIEW seen AS SELECT 1"`,
			"PRAGMA user_version = 77":                                            `user_version is now "77"`,
		} {
			w.exec(t, statement)
			err := compare()
			require.ErrorIs(t, err, backup.ErrMismatch, statement)
			require.ErrorContains(t, err, want)
			_, err = w.store.Restore(t.Context(), snap.Ref(), w.target)
			require.NoError(t, err)
			require.NoError(t, compare(), "after %s", statement)
		}
		require.NoError(t, os.Remove(w.path))
		require.ErrorIs(t, compare(), backup.ErrMismatch, "it is gone")
		require.NoError(t, os.WriteFile(w.path, []byte("no database"), 0o600))
		err = compare()
		require.Error(t, err)
		require.NotErrorIs(t, err, backup.ErrMismatch, "what cannot be read is no difference")
	}
}
