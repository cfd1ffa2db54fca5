package site

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A database that is gone when it is opened, or is a link to nothing, is not created.
func TestNoSQLiteDatabaseIsCreated(t *testing.T) {
	dir := t.TempDir()
	ask := func(path string) error {
		db, err := openExisting(path)
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		var n int
		return db.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_schema").Scan(&n)
	}
	require.Error(t, ask(filepath.Join(dir, "gone")))
	require.NoFileExists(t, filepath.Join(dir, "gone"))
	if os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "link")) == nil {
		require.Error(t, ask(filepath.Join(dir, "link")))
		require.NoFileExists(t, filepath.Join(dir, "elsewhere"))
	}
	there := filepath.Join(dir, "a b%41#")
	db, err := sql.Open("sqlite", there)
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), "CREATE TABLE t (n int)")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	require.NoError(t, ask(there))
}
