//go:build unix

package files_test

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup/files"
)

func TestDirectoryThatIsALink(t *testing.T) {
	w := newWorld(t)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(w.dir, link))
	_, err := w.store.Take(t.Context(), "x", &files.Directory{Path: link})
	require.ErrorContains(t, err, "is a link")
}

func TestSocketsAndPipes(t *testing.T) {
	w := newWorld(t)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", filepath.Join(w.dir, "s"))
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	_, err = w.store.Take(t.Context(), "a socket belongs to a process", w.target)
	require.NoError(t, err)
	require.NoError(t, syscall.Mkfifo(filepath.Join(w.dir, "pipe"), 0o600))
	_, err = w.store.Take(t.Context(), "reading a pipe would wait for ever", w.target)
	require.ErrorContains(t, err, "pipe is neither a file, a directory nor a link")
}

func TestOwnersAreRestored(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.dir, "bin", "server")
	if os.Getuid() != 0 {
		t.Skip("only root can give files to other accounts")
	}
	require.NoError(t, os.Chown(file, 12345, 54321))
	require.NoError(t, os.Chmod(file, 0o755|os.ModeSetuid))
	snap, err := w.store.Take(t.Context(), "x", w.target)
	require.NoError(t, err)
	require.NoError(t, os.Chown(file, 0, 0))
	_, err = w.store.Restore(t.Context(), snap.ID, w.target)
	require.NoError(t, err)
	fi, err := os.Stat(file)
	require.NoError(t, err)
	st := fi.Sys().(*syscall.Stat_t)
	require.Equal(t, []uint32{12345, 54321}, []uint32{st.Uid, st.Gid})
	require.Equal(t, 0o755|os.ModeSetuid, fi.Mode(), "a change of owner takes the bit away")
}

func TestSnapshotOfADirectoryIsPrivate(t *testing.T) {
	w := newWorld(t)
	dir, err := w.store.Path(w.id)
	require.NoError(t, err)
	for path, want := range map[string]os.FileMode{
		w.store.Dir: 0o700, filepath.Dir(dir): 0o700, dir: 0o700,
		filepath.Join(dir, "tree.tar.zst"):                0o600,
		filepath.Join(filepath.Dir(dir), "manifest.json"): 0o600,
	} {
		fi, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, want, fi.Mode().Perm(), path)
	}
}
