package site

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The owner of a database's directory exchanges it with another database, which
// only root may read, while it is opened, and back. What would be backed up is the other
// one, with the owner and the permissions of the first.
func TestSQLiteExchangedWhileItIsOpened(t *testing.T) {
	w := newSQLite(t, "DELETE")
	before := sqliteState(t, w.path)
	other := newSQLite(t, "DELETE")
	other.exec(t, "UPDATE children SET name = 'only root may read this'")
	secret := filepath.Join(filepath.Dir(w.path), "secret.db")
	require.NoError(t, os.Rename(other.path, secret))
	exchange := func() {
		require.NoError(t, unix.Renameat2(unix.AT_FDCWD, w.path, unix.AT_FDCWD, secret, unix.RENAME_EXCHANGE))
	}
	opened := 0
	w.target = &files.SQLite{Path: w.path, Open: func(path string) (*sql.DB, error) {
		opened++
		exchange()
		defer exchange()
		db, err := openSQLite(path)
		if err == nil {
			err = db.Ping()
		}
		return db, err
	}}
	dir := t.TempDir()
	_, err := w.target.Backup(t.Context(), dir)
	require.ErrorContains(t, err, "the file was replaced while it was opened")
	require.Positive(t, opened)
	_, err = w.target.Counts(t.Context())
	require.ErrorContains(t, err, "the file was replaced while it was opened")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.Equal(t, before, sqliteState(t, w.path))
}

// A write-ahead log or a journal that is a link would be read, or made, elsewhere.
func TestSQLiteJournalThatIsALink(t *testing.T) {
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		w := newSQLite(t, "DELETE")
		elsewhere := filepath.Join(t.TempDir(), "elsewhere")
		require.NoError(t, os.Symlink(elsewhere, w.path+suffix))
		_, err := w.store.Take(t.Context(), "x", w.target)
		require.ErrorContains(t, err, w.path+suffix+" is not a regular file")
		require.NoFileExists(t, elsewhere)
	}
}

// Where the application's account owns a whole volume, with its root, it can
// exchange whatever is made there by its path. The database is made on the next
// volume above, in a directory of ours, and copied by descriptors.
func TestSQLiteOnAVolumeOfTheApplications(t *testing.T) {
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root gives files to other accounts")
	}
	realtest.WithMounts(t, "TestSQLiteOnAVolumeOfTheApplications", func() {
		volume := filepath.Join(t.TempDir(), "volume")
		require.NoError(t, os.Mkdir(volume, 0o755))
		require.NoError(t, unix.Mount("tmpfs", volume, "tmpfs", 0, "size=8m"))
		t.Cleanup(func() { require.NoError(t, unix.Unmount(volume, unix.MNT_DETACH)) })
		w := newSQLite(t, "WAL")
		path := filepath.Join(volume, "app.db")
		text, err := os.ReadFile(w.path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, text, 0o640))
		w.path = path
		for _, of := range []string{volume, path} {
			realtest.ToUnprivileged(t, of)
		}
		var opened []string
		w.target = &files.SQLite{Path: path, Open: func(path string) (*sql.DB, error) {
			opened = append(opened, path)
			return openSQLite(path)
		}}
		before, owner := sqliteState(t, path), ownerOf(t, path)

		needs, err := w.target.Needs(t.Context())
		require.NoError(t, err)
		require.Equal(t, filepath.Dir(volume), needs[len(needs)-1].Path, "%v", needs)
		m, err := w.store.Take(t.Context(), "x", w.target)
		require.NoError(t, err)
		w.change(t)
		opened = nil
		r, err := w.store.Restore(t.Context(), m.ID, w.target)
		require.NoError(t, err)
		require.NotEmpty(t, opened)
		for _, made := range opened {
			require.NotEqual(t, volume, filepath.Dir(filepath.Dir(made)), "it is made where the application can exchange it")
		}
		require.NoError(t, r.Discard(t.Context()))
		require.Equal(t, before, sqliteState(t, path))
		require.Equal(t, owner, ownerOf(t, path))
		_, err = w.store.Prove(t.Context(), m.ID, w.target)
		require.NoError(t, err)
		for dir, want := range map[string]int{volume: 1, filepath.Dir(volume): 1} {
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			names := slices.DeleteFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), "app.db-") })
			require.Len(t, names, want, "%v", entries)
		}
	})
}

// ownerOf returns who owns a file, and its mode.
func ownerOf(t *testing.T, path string) string {
	t.Helper()
	fi, err := os.Stat(path)
	require.NoError(t, err)
	st := fi.Sys().(*syscall.Stat_t)
	return fmt.Sprintln(st.Uid, st.Gid, fi.Mode())
}
