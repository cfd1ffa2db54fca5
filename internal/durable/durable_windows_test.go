package durable

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
)

// A file that another process reads for an instant can be replaced.
func TestWriteFileWaitsForAReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	require.NoError(t, WriteFile(path, []byte("old"), 0o600))
	f, err := os.Open(path)
	require.NoError(t, err)
	time.AfterFunc(100*time.Millisecond, func() { _ = f.Close() })
	require.NoError(t, WriteFile(path, []byte("new"), 0o600))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "new", string(got))
}

// Whoever has a directory or a file to himself for a moment, as one who renames it
// has, does not make its readers fail.
func TestReadersWaitForWhoeverHasItAlone(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "record")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
	alone := func(path string) {
		p, err := windows.UTF16PtrFromString(path)
		require.NoError(t, err)
		h, err := windows.CreateFile(p, windows.GENERIC_READ|windows.DELETE, 0, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
		require.NoError(t, err)
		time.AfterFunc(100*time.Millisecond, func() { _ = windows.CloseHandle(h) })
	}
	alone(dir)
	_, err := os.ReadDir(dir)
	require.ErrorIs(t, err, windows.ERROR_SHARING_VIOLATION)
	entries, err := ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	alone(file)
	_, err = os.ReadFile(file)
	require.ErrorIs(t, err, windows.ERROR_SHARING_VIOLATION)
	f, err := Open(file)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	alone(file)
	b, err := ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "x", string(b))
	alone(file)
	require.NoError(t, SyncTree(dir))
}

// A virus scanner holds a new file for longer than an instant.
func TestWhatAnotherProcessHoldsForSecondsIsReplacedAndRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	held := func() {
		require.NoError(t, WriteFile(path, []byte("old"), 0o600))
		f, err := os.Open(path)
		require.NoError(t, err)
		time.AfterFunc(3*time.Second, func() { _ = f.Close() })
	}
	held()
	require.NoError(t, WriteFile(path, []byte("new"), 0o600))
	held()
	require.NoError(t, Remove(path))
	require.NoFileExists(t, path)
	held()
	require.NoError(t, RemoveAll(filepath.Dir(path)))
}
