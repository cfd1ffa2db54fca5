//go:build unix

package lock

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Who can write beside the lock puts a link in its place: no file is made or
// locked elsewhere, and a pipe is not waited for.
func TestALinkInTheLocksPlaceIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, ".lock"), filepath.Join(dir, "elsewhere")
	require.NoError(t, os.Symlink(elsewhere, path))
	for _, lock := range []func() error{
		func() error { _, err := Try(path); return err },
		func() error { _, err := Exclusive(t.Context(), path); return err },
		func() error { _, err := Shared(t.Context(), path); return err },
		func() error { _, err := Held(path); return err },
	} {
		require.ErrorIs(t, lock(), syscall.ELOOP)
		require.NoFileExists(t, elsewhere)
	}
	require.NoError(t, os.Remove(path))
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	l, err := Try(path)
	require.NoError(t, err)
	require.NoError(t, l.Unlock())
}
