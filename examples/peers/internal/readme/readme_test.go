package readme

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRewrite(t *testing.T) {
	begin, end := markers("table")
	file := filepath.Join(t.TempDir(), "README.md")
	require.NoError(t, os.WriteFile(file, []byte("# Title\n"+begin+"old\n"+end+"rest\n"), 0o600))
	for range 2 { // the second time changes nothing
		require.NoError(t, Rewrite(file, "table", "new\n"))
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, "# Title\n"+begin+"\nnew\n\n"+end+"rest\n", string(got))
	}
	for _, bad := range []string{"", begin, end + begin} {
		require.NoError(t, os.WriteFile(file, []byte(bad), 0o600))
		require.Error(t, Rewrite(file, "table", "new\n"), "%q", bad)
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, bad, string(got), "a file without markers stays as it is")
	}
}
