package swap

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

func TestAtRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := At("")
	require.ErrorContains(t, err, "set Path")
	_, err = At(filepath.VolumeName(dir) + string(filepath.Separator))
	require.ErrorContains(t, err, "root of a volume")
	_, err = At(filepath.Join(dir, "missing", "live"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestAtResolvesLinksInParents(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "real"), 0o700))
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		realtest.Skip(t, "links cannot be made here: %v", err)
	}
	s, err := At(filepath.Join(dir, "link", "live"))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "real", "live"), s.Live)
	_, err = At(filepath.Join(dir, "link"))
	require.ErrorContains(t, err, "is a link: give the path that it points to")
}

// A restored directory may forbid its own removal.
func TestDropOfADirectoryThatForbidsIt(t *testing.T) {
	dir := t.TempDir()
	s, err := At(filepath.Join(dir, "live"))
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "half", "readonly"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "half", "readonly", "file"), nil, 0o400))
	require.NoError(t, os.Chmod(filepath.Join(dir, "half", "readonly"), 0o500))
	require.NoError(t, s.Place.Drop(t.Context(), filepath.Join(dir, "half")))
	require.NoDirExists(t, filepath.Join(dir, "half"))
}

func TestRenameNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	s, err := At(filepath.Join(dir, "live"))
	require.NoError(t, err)
	for _, name := range []string{"a", "b"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	require.ErrorIs(t, s.Place.Rename(t.Context(), filepath.Join(dir, "a"), filepath.Join(dir, "b")), fs.ErrExist)
	text, err := os.ReadFile(filepath.Join(dir, "b"))
	require.NoError(t, err)
	require.Equal(t, "b", string(text))
}

// The first version named what it put aside in another way. What it left when it
// was killed is recovered all the same: here a database whose main file was put
// aside already, and its write-ahead log was not.
func TestNamesOfTheFirstVersionAreRecovered(t *testing.T) {
	for name, left := range map[string]map[string]string{
		"after the main file": {".aspupdate-old-0123456789ab": "main", "-wal": "log", ".aspupdate-new-0123456789ab": "new"},
		"after the log":       {".aspupdate-old-0123456789ab": "main", ".aspupdate-old-0123456789ab-wal": "log", ".aspupdate-new-0123456789ab": "new"},
		"adopted in part":     {".aspupdate-old-0123456789ab": "main", "_aspupdate_old_0123456789ab-wal": "log", ".aspupdate-new-0123456789ab": "new"},
	} {
		t.Run(name, func(t *testing.T) {
			live := filepath.Join(t.TempDir(), "app.db")
			for suffix, text := range left {
				require.NoError(t, os.WriteFile(live+suffix, []byte(text), 0o600))
			}
			s, err := At(live, "-wal")
			require.NoError(t, err)
			require.NoError(t, s.Recover(t.Context()))
			for suffix, text := range map[string]string{"": "main", "-wal": "log"} {
				b, err := os.ReadFile(live + suffix)
				require.NoError(t, err)
				require.Equal(t, text, string(b))
			}
			entries, err := os.ReadDir(filepath.Dir(live))
			require.NoError(t, err)
			require.Len(t, entries, 2)
		})
	}
}
