package tree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func rootAt(t *testing.T, dir string) *Root {
	t.Helper()
	root, err := openRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func write(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
}

func TestWalkVisitsInOrder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b/z", "b/a", "a-b", "a/c", "пусто/x"} {
		write(t, filepath.Join(dir, name), name)
	}
	var seen, walked []string
	require.NoError(t, WalkPath(t.Context(), dir, func(n *Node) error {
		seen = append(seen, n.Path)
		if n.Mode.IsRegular() {
			text, err := io.ReadAll(n.File)
			require.NoError(t, err)
			require.Equal(t, n.Path, string(text))
			require.EqualValues(t, len(text), n.Size)
			require.NoError(t, n.Changed())
		}
		return nil
	}))
	require.NoError(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		rel, rerr := filepath.Rel(dir, p)
		walked = append(walked, filepath.ToSlash(rel))
		return errors.Join(err, rerr)
	}))
	require.Equal(t, walked, seen, "digests on disk depend on the order of filepath.WalkDir")
}

func TestWalkEnds(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a", "b"), "x")
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, WalkPath(ctx, dir, func(*Node) error { cancel(); return nil }), context.Canceled)
	stop := errors.New("stop")
	require.ErrorIs(t, WalkPath(t.Context(), dir, func(n *Node) error {
		if n.Path == "a/b" {
			return stop
		}
		return nil
	}), stop)
	require.Error(t, WalkPath(t.Context(), filepath.Join(dir, "a", "b"), func(*Node) error { return nil }), "not a directory")
	require.ErrorIs(t, WalkPath(t.Context(), filepath.Join(dir, "none"), nil), fs.ErrNotExist)
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	root := rootAt(t, dir)
	write(t, filepath.Join(dir, "a", "b", "c"), "x")
	require.NoError(t, os.Chmod(filepath.Join(dir, "a", "b", "c"), 0o400))
	require.NoError(t, os.Chmod(filepath.Join(dir, "a", "b"), 0o500))
	require.NoError(t, Remove(root, "a"))
	require.NoDirExists(t, filepath.Join(dir, "a"))
	require.NoError(t, Remove(root, "a"), "a name that does not exist")
}

func TestRenameNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"x/a", "y/b"} {
		write(t, filepath.Join(dir, name), name)
	}
	x, y := rootAt(t, filepath.Join(dir, "x")), rootAt(t, filepath.Join(dir, "y"))
	require.ErrorIs(t, Rename(x, "a", y, "b"), fs.ErrExist)
	require.NoError(t, Rename(x, "a", y, "c"))
	require.FileExists(t, filepath.Join(dir, "y", "c"))
}

func TestOpenFileRefusesADirectory(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	_, err := OpenFile(rootAt(t, dir).Root, "d")
	require.ErrorContains(t, err, "not a regular file")
}
