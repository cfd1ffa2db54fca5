package site

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
)

// A record that another process has open, as a virus scanner does, is read, replaced and removed once it is closed.
func TestStateFilesWaitForAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	require.NoError(t, replaceFile(path, []byte("old")))
	alone := func() {
		p, err := windows.UTF16PtrFromString(path)
		require.NoError(t, err)
		h, err := windows.CreateFile(p, windows.GENERIC_READ, 0, nil, windows.OPEN_EXISTING, 0, 0)
		require.NoError(t, err)
		_, err = os.ReadFile(path)
		require.ErrorIs(t, err, windows.ERROR_SHARING_VIOLATION)
		time.AfterFunc(100*time.Millisecond, func() { _ = windows.CloseHandle(h) })
	}
	alone()
	text, err := readFile(path)
	require.NoError(t, err)
	require.Equal(t, "old", string(text))
	alone()
	require.NoError(t, replaceFile(path, []byte("new")))
	alone()
	require.NoError(t, removeFile(path))
	require.NoFileExists(t, path)
}
