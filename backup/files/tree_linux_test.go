package files

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/internal/tree"
)

// A hook runs before each write.
type hook func(b []byte)

func (h hook) Write(b []byte) (int, error) { h(b); return len(b), nil }

// The owner of a program to which root gave a capability writes other bytes after the capability
// was read, and sets the time back: the kernel takes the capability away, and so does no backup
// give it to his bytes.
func TestABackupGivesNoCapabilityToOtherBytes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	require.NoError(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "program")
	require.NoError(t, os.WriteFile(path, []byte("what root has trusted"), 0o755))
	capability := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // CAP_NET_BIND_SERVICE, effective
	if err := unix.Setxattr(path, "security.capability", capability, 0); err != nil {
		realtest.Skip(t, "capabilities cannot be given here: %v", err)
	}
	theirs, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer func() { _ = theirs.Close() }()
	fi, err := theirs.Stat()
	require.NoError(t, err)
	root, err := tree.OpenExact(filepath.Dir(dir))
	require.NoError(t, err)
	defer func() { _ = root.Close() }()

	done := false
	tw := tar.NewWriter(hook(func(b []byte) {
		if !bytes.Contains(b, []byte("security.capability")) {
			return
		}
		_, err := theirs.WriteString("what they have written")
		require.NoError(t, err)
		require.NoError(t, theirs.Truncate(fi.Size()))
		require.NoError(t, os.Chtimes(path, time.Now(), fi.ModTime()))
		done = true
	}))
	_, err = scan{tw: tw}.read(t.Context(), root, "app")
	require.True(t, done)
	require.ErrorIs(t, err, tree.ErrChanged)
}
