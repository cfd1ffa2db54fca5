package swap

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
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
		t.Skip("links cannot be made here: ", err)
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
