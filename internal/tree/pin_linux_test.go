package tree

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// Whatever an account does with a name on the way is seen, also if all is as before at the
// end. What it does with other names, and with what is in the file, is nothing.
func TestPin(t *testing.T) {
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root gives a directory to another account")
	}
	exchange := func(a, b string) error {
		return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
	}
	for name, do := range map[string]struct {
		act  func(app string) error
		seen string // the name, or "" if nothing may be seen
	}{
		"nothing": {func(string) error { return nil }, ""},
		"other names, and bytes": {func(app string) error {
			for i := range 2_000 {
				if err := os.WriteFile(filepath.Join(app, "data", fmt.Sprint("live", i%2)), nil, 0o600); err != nil {
					return err
				}
				if err := os.Remove(filepath.Join(app, "data", fmt.Sprint("live", i%2))); err != nil {
					return err
				}
			}
			return os.WriteFile(filepath.Join(app, "data", "live"), []byte("more"), 0o600)
		}, ""},
		"the file, and back": {func(app string) error {
			live, link := filepath.Join(app, "data", "live"), filepath.Join(app, "data", "link")
			if err := exchange(live, link); err != nil {
				return err
			}
			return exchange(live, link)
		}, "live"},
		"a directory on the way, and back": {func(app string) error {
			if err := exchange(filepath.Join(app, "data"), filepath.Join(app, "other")); err != nil {
				return err
			}
			return exchange(filepath.Join(app, "data"), filepath.Join(app, "other"))
		}, "data"},
		"moved over it": {func(app string) error {
			return os.Rename(filepath.Join(app, "data", "link"), filepath.Join(app, "data", "live"))
		}, "live"},
		"removed": {func(app string) error { return os.Remove(filepath.Join(app, "data", "live")) }, "live"},
	} {
		t.Run(name, func(t *testing.T) {
			base, err := filepath.EvalSymlinks(t.TempDir())
			require.NoError(t, err)
			app := filepath.Join(base, "app")
			for _, dir := range []string{app, filepath.Join(app, "data"), filepath.Join(app, "other")} {
				require.NoError(t, os.Mkdir(dir, 0o755))
				require.NoError(t, os.Chown(dir, 65534, 65534))
			}
			live := filepath.Join(app, "data", "live")
			require.NoError(t, os.WriteFile(live, nil, 0o600))
			require.NoError(t, os.Symlink("/etc/shadow", filepath.Join(app, "data", "link")))
			release, err := Pin(live)
			require.NoError(t, err)
			require.NoError(t, do.act(app))
			err = release()
			if do.seen == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, fmt.Sprintf("%q was renamed, removed or replaced on the way to %s", do.seen, live))
		})
	}

	// Where no other account can rename, nothing is watched.
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	live := filepath.Join(dir, "live")
	require.NoError(t, os.WriteFile(live, nil, 0o600))
	release, err := Pin(live)
	require.NoError(t, err)
	require.NoError(t, os.Remove(live))
	require.NoError(t, release())
}
