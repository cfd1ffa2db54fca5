package durable

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whoever reads a file for a moment does not make its next version fail.
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
