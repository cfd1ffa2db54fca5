package files

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// Who may rename in the directory above gives the directory of another account, which it
// cannot remove, the name of a copy of ours.
func TestForeignDirectoryUnderANameOfOurs(t *testing.T) {
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root can remove what belongs to another account")
	}
	const app = 54321
	parent := filepath.Join(realtest.SharedDir(t), "site")
	live := filepath.Join(parent, "app")
	make := func(path string, uid int) {
		t.Helper()
		require.NoError(t, os.Mkdir(path, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(path, "file"), []byte(filepath.Base(path)), 0o600))
		require.NoError(t, os.Chown(path, uid, uid))
	}
	require.NoError(t, os.Mkdir(parent, 0o755))
	require.NoError(t, os.Chown(parent, app, app))
	make(live, app)
	kept := func(path string) {
		t.Helper()
		require.FileExists(t, filepath.Join(path, "file"))
	}
	d := &Directory{Path: live}
	store := t.TempDir()
	for _, kind := range []string{"new", "old", "undone"} {
		make(live+"_aspupdate_"+kind+"_0123456789ab", 0)
	}
	half := live + "_aspupdate_new_ba9876543210" // of a run that was killed before it marked it
	require.NoError(t, os.Mkdir(half, 0o700))

	m, err := d.Backup(t.Context(), store)
	require.NoError(t, err)
	require.NoDirExists(t, half)
	r, err := d.Restore(t.Context(), store, m)
	require.NoError(t, err)
	require.NoError(t, r.Discard(t.Context()))
	for _, kind := range []string{"old", "new", "undone"} {
		path := live + "_aspupdate_" + kind + "_0123456789ab"
		require.ErrorContains(t, d.Tidy(t.Context()), "left as it is: "+path)
		kept(path)
		require.NoError(t, os.RemoveAll(path))
	}

	// The live name is given to it once the backup is made.
	require.NoError(t, os.Rename(live, live+".away"))
	make(live, 0)
	r, err = d.Restore(t.Context(), store, m)
	require.NoError(t, err)
	require.NoError(t, r.Discard(t.Context()))
	old, err := filepath.Glob(live + "_aspupdate_old_*")
	require.NoError(t, err)
	require.Len(t, old, 1)
	kept(old[0])
	require.NoError(t, os.RemoveAll(old[0]))

	// What belongs to the application is removed, and so is what was restored and given up.
	r, err = d.Restore(t.Context(), store, m)
	require.NoError(t, err)
	require.NoError(t, r.Undo(t.Context()))
	r, err = d.Restore(t.Context(), store, m)
	require.NoError(t, err)
	require.NoError(t, r.Discard(t.Context()))
	require.NoError(t, d.Tidy(t.Context()))
	left, err := filepath.Glob(live + "_aspupdate_*")
	require.NoError(t, err)
	require.Empty(t, left)
	kept(live)
}
