package owner

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGive(t *testing.T) {
	dir := t.TempDir()
	live, fresh := filepath.Join(dir, "live"), filepath.Join(dir, "fresh")
	require.NoError(t, os.WriteFile(live, nil, 0o600))
	require.NoError(t, os.WriteFile(fresh, nil, 0o600))
	require.NoError(t, os.Chmod(live, 0o440))
	if os.Getuid() == 0 {
		require.NoError(t, os.Chown(live, 12345, 54321))
	}
	before, err := os.Lstat(live)
	require.NoError(t, err)
	f, err := os.OpenFile(fresh, os.O_RDWR, 0)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	require.NoError(t, Of(before).Give(f))
	after, err := os.Lstat(fresh)
	require.NoError(t, err)
	require.Equal(t, Of(before), Of(after))

	if os.Getuid() > 0 && runtime.GOOS != "windows" {
		other := Of(before)
		other.UID = os.Getuid() + 1
		require.ErrorContains(t, other.Give(f), "run as root or as that user")
	}
}
