package durable

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWriteFileReplacesWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, WriteFile(path, []byte("old"), 0o600))
	require.NoError(t, WriteFile(path, []byte("new"), 0o600))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "new", string(got))
	left, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, left, 1, "no temporary file stays")
}

func TestWriteFileLeavesNothingBehindOnFailure(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "taken", "full"), 0o700))
	require.Error(t, WriteFile(filepath.Join(dir, "taken"), []byte("x"), 0o600))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestPublishNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, mk := range []func(string) error{
		func(p string) error { return os.WriteFile(p, []byte(p), 0o600) },
		func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		require.NoError(t, mk(a))
		require.NoError(t, Publish(a, b))
		require.NoError(t, mk(a))
		require.ErrorIs(t, Publish(a, b), fs.ErrExist)
		require.FileExists(t, must(t, a))
		require.NoError(t, os.RemoveAll(a))
		require.NoError(t, os.RemoveAll(b))
	}
}

// must returns a path that FileExists accepts for a file and for a directory.
func must(t *testing.T, path string) string {
	t.Helper()
	fi, err := os.Stat(path)
	require.NoError(t, err)
	if !fi.IsDir() {
		return path
	}
	probe := filepath.Join(path, "probe")
	require.NoError(t, os.WriteFile(probe, nil, 0o600))
	return probe
}

func TestMkdirAllRefusesAFileInTheWay(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, MkdirAll(filepath.Join(dir, "x", "y"), 0o700))
	require.NoError(t, MkdirAll(filepath.Join(dir, "x", "y"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o600))
	require.ErrorContains(t, MkdirAll(filepath.Join(dir, "f"), 0o700), "a file of this name exists")
	require.Error(t, MkdirAll(filepath.Join(dir, "f", "g"), 0o700))
}

func TestWithin(t *testing.T) {
	dir := t.TempDir()
	app := filepath.Join(dir, "app")
	require.NoError(t, os.Mkdir(app, 0o700))
	for _, c := range []struct {
		path string
		want bool
	}{
		{app, true},
		{filepath.Join(app, "backups"), true},
		{filepath.Join(app, "not", "yet", "there"), true},
		{filepath.Join(app, "..", "app", "x"), true},
		{filepath.Join(dir, "application"), false},
		{filepath.Join(app, ".."), false},
		{filepath.Join(app, "..", "backups"), false},
	} {
		got, err := Within(c.path, app)
		require.NoError(t, err, c.path)
		require.Equal(t, c.want, got, c.path)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(app, link); err != nil {
		t.Logf("links not tried: %v", err) // Windows without the privilege
		return
	}
	if _, err := os.Lstat(link); err != nil {
		t.Logf("links not tried: none was made (%v)", err) // Wine
		return
	}
	got, err := Within(filepath.Join(link, "backups"), app)
	require.NoError(t, err)
	require.True(t, got, "a link does not hide where the directory is")
}

func TestVolumeOf(t *testing.T) {
	dir := t.TempDir()
	a, err := VolumeOf(dir)
	require.NoError(t, err)
	require.Positive(t, a.Free)
	b, err := VolumeOf(filepath.Join(dir, "not", "there"))
	require.NoError(t, err)
	require.Equal(t, a.ID, b.ID)
}

func TestSyncTree(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "readonly"), []byte("x"), 0o400))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	require.NoError(t, SyncTree(dir))
}

// What others have put under the name is replaced, not written to.
func TestRewriteFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, "holder"), filepath.Join(dir, "elsewhere")
	require.NoError(t, Rewrite(path, []byte("first"), 0o600))
	require.NoError(t, os.Remove(path))
	if err := os.Symlink(elsewhere, path); err != nil {
		t.Logf("links not tried: %v", err)
	}
	require.NoError(t, Rewrite(path, []byte("second"), 0o600))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "second", string(got))
	require.NoFileExists(t, elsewhere)
}
