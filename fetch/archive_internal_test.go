package fetch

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// A version that is published between a reader's two looks is there; a link, a
// file and another spelling are refused.
func TestR10AppearedWhileReading(t *testing.T) {
	t.Parallel()
	a := Archive{Dir: t.TempDir()}
	require.NoError(t, os.Mkdir(filepath.Join(a.Dir, "asp"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(a.Dir, "file"), nil, 0o600))
	there, err := a.appeared(".", "asp", []string{"other"})
	require.NoError(t, err)
	require.True(t, there)
	there, err = a.appeared(".", "gone", nil)
	require.NoError(t, err)
	require.False(t, there)
	refused := []string{"file"}
	if runtime.GOOS == "windows" {
		refused = append(refused, "ASP")
	} else {
		require.NoError(t, os.Symlink("asp", filepath.Join(a.Dir, "link")))
		refused = append(refused, "link")
	}
	for _, name := range refused {
		_, err = a.appeared(".", name, []string{"asp"})
		require.ErrorIs(t, err, ErrUnsafeName, name)
	}
}
