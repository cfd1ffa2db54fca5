package site

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// Who owns the directory of the database leads SQLite to a directory of root while it opens the
// database by its path: nothing is made there. The database itself is opened with the rights of
// its owner, and backed up to where he may not write.
func TestSQLiteMakesNothingInADirectoryOfRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root gives a file to another account")
	}
	const nobody = 65534
	base := t.TempDir()
	for dir := base; len(dir) > len(os.TempDir()); dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755)) // the account must get to its own
	}
	data, etc := filepath.Join(base, "app", "data"), filepath.Join(base, "etc")
	require.NoError(t, os.MkdirAll(data, 0o755))
	require.NoError(t, os.Mkdir(etc, 0o755))
	path := filepath.Join(data, "app.db")
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	_, err = db.Exec("PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES (1), (2)")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	for _, p := range []string{filepath.Dir(data), data, path} {
		require.NoError(t, os.Chown(p, nobody, nobody))
	}
	var attack func(back bool)
	q := &files.SQLite{Path: path, Open: func(path string) (*sql.DB, error) {
		if attack != nil {
			attack(false)
		}
		return sql.Open("sqlite", "file:"+path+"?mode=rw")
	}}
	store := &backup.Store{Dir: filepath.Join(base, "store")}
	snap, err := store.Take(t.Context(), "x", q)
	require.NoError(t, err)
	counts, err := q.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"t": 2}, counts)
	_, err = store.Restore(t.Context(), snap.ID, q)
	require.NoError(t, err)

	// The link leads to the same file, so that only what SQLite makes beside it is in question.
	require.NoError(t, os.Link(path, filepath.Join(etc, "app.db")))
	real := filepath.Join(base, "app", "real")
	attack = func(back bool) {
		if back {
			require.NoError(t, os.Remove(data))
			require.NoError(t, os.Rename(real, data))
			return
		}
		require.NoError(t, os.Rename(data, real))
		require.NoError(t, os.Symlink(etc, data))
	}
	for name, run := range map[string]func() error{
		"Counts": func() error { _, err := q.Counts(t.Context()); return err },
		"Backup": func() error { _, err := store.Take(t.Context(), "x", q); return err },
	} {
		require.Error(t, run(), name)
		entries, err := os.ReadDir(etc)
		require.NoError(t, err)
		require.Len(t, entries, 1, name)
		attack(true)
	}
	attack = nil
	var uid, euid int
	uid, _ = unix.SetfsuidRetUid(-1)
	euid = os.Geteuid()
	require.Equal(t, euid, uid, "the rights of other threads are as they were")
}
