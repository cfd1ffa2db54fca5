package tree

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// An account that is not root restores a file that it must not write, with
// attributes that need the right to write it.
func TestAttrsOfAFileThatIsReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root can act as another account")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	require.NoError(t, os.Chmod(dir, 0o777))
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and is never unlocked: the thread ends
		done <- func() error {
			if err := unix.Setfsuid(65534); err != nil {
				return err
			}
			f, err := os.OpenFile(filepath.Join(dir, "file"), os.O_CREATE|os.O_WRONLY, 0o600)
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			if err := Give(f, 65534, 0, 0o444); err != nil {
				return err
			}
			return SetAttrs(f, map[string]string{"user.color": "blue", "user.form": "round"})
		}()
	}()
	require.NoError(t, <-done)
	f, err := os.Open(filepath.Join(dir, "file"))
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o444), fi.Mode().Perm())
	attrs, err := Attrs(f)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"user.color": "blue", "user.form": "round"}, attrs)
}

// The label is only copied: no policy is loaded here.
func TestLabelIsThatOfWhatIsReplaced(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	for _, name := range []string{"old", "new", "other"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	root := rootAt(t, dir)
	require.NoError(t, CopyLabel(root, "other", root, "new"), "it has none")
	require.NoError(t, CopyLabel(root, "none", root, "new"), "it does not exist")
	if err := unix.Lsetxattr(old, label, []byte("system_u:object_r:httpd_sys_rw_content_t:s0\x00"), 0); err != nil {
		realtest.Skip(t, "the file system takes no labels")
	}
	require.NoError(t, CopyLabel(root, "old", root, "new"))
	value := make([]byte, 100)
	n, err := unix.Lgetxattr(filepath.Join(dir, "new"), label, value)
	require.NoError(t, err)
	require.Equal(t, "system_u:object_r:httpd_sys_rw_content_t:s0\x00", string(value[:n]))
}
