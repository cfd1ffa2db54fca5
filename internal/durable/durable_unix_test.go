//go:build unix

package durable

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// What took the place of a file is neither followed nor waited for.
func TestOpenOpensOnlyFiles(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	require.NoError(t, os.Symlink("file", filepath.Join(dir, "link")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	f, err := Open(filepath.Join(dir, "file"))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	_, err = Open(filepath.Join(dir, "link"))
	require.ErrorIs(t, err, syscall.ELOOP)
	_, err = Open(filepath.Join(dir, "pipe"))
	require.ErrorContains(t, err, "not a regular file")
	_, err = Open(dir)
	require.ErrorContains(t, err, "not a regular file")
}
