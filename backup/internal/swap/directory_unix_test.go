//go:build unix

package swap

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// Permissions do not stop root.
func TestDropOfADirectoryThatForbidsItAsNobody(t *testing.T) {
	realtest.AsNobody(t, "TestDropOfADirectoryThatForbidsIt")
}

// Who owns a directory on the way can put a link into it, to a directory of root: nothing
// is restored there, and nothing is backed up from there.
func TestAtFollowsNoLinkOfAnotherAccount(t *testing.T) {
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root gives a directory to another account")
	}
	base, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	app, etc := filepath.Join(base, "app"), filepath.Join(base, "etc")
	require.NoError(t, os.Mkdir(app, 0o755))
	require.NoError(t, os.Mkdir(etc, 0o755))
	require.NoError(t, os.Chown(app, 65534, 65534))
	require.NoError(t, os.Mkdir(filepath.Join(app, "real"), 0o755))
	require.NoError(t, os.Symlink(etc, filepath.Join(app, "data")))
	require.NoError(t, os.Symlink("app", filepath.Join(base, "current"))) // the administrator's
	for _, path := range []string{"app/data/app.fdb", "app/data/below/app.fdb", "current/data/app.fdb"} {
		_, err = At(filepath.Join(base, path))
		require.ErrorContains(t, err, filepath.Join(app, "data")+" is a link that another account can change", path)
	}
	s, err := At(filepath.Join(base, "current/real/app.fdb"))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(app, "real", "app.fdb"), s.Live)

	require.NoError(t, os.Symlink("loop", filepath.Join(base, "loop")))
	_, err = At(filepath.Join(base, "loop", "x"))
	require.ErrorContains(t, err, "too many links")
	require.NoError(t, os.Symlink("../"+filepath.Base(base)+"/./app", filepath.Join(base, "round")))
	s, err = At(filepath.Join(base, "round", "real", "x"))
	require.NoError(t, err)
	require.Equal(t, filepath.Join(app, "real", "x"), s.Live)
}
