//go:build unix

package rollback_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/rollback"
)

// A state directory that others can change is refused before anything is done,
// by itself and by its parents.
func TestStateThatOthersCanChangeIsRefused(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp")
	for name, open := range map[string]string{"the directory": "a/state", "a parent": "a"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			dir := realtest.SharedDir(t)
			state := filepath.Join(dir, "a", "state")
			require.NoError(t, os.MkdirAll(state, 0o755))
			require.NoError(t, os.Chmod(filepath.Join(dir, open), 0o777))
			u := w.update()
			u.Dir = state
			_, err := u.Recover(t.Context())
			require.ErrorIs(t, err, rollback.ErrRefused)
			require.ErrorContains(t, err, "the mode of "+filepath.Join(dir, open)+" is 0777; chmod go-w")
			for _, read := range []func() error{
				func() error { _, err := rollback.ReadStatus(state); return err },
				func() error { _, err := rollback.ReadHistory(state); return err },
				func() error { _, err := rollback.Acquire(state, "a test", time.Now()); return err },
			} {
				require.ErrorIs(t, read(), rollback.ErrRefused)
			}
			left, err := os.ReadDir(state)
			require.NoError(t, err)
			require.Empty(t, left)
			require.Empty(t, w.calls)
			require.NoError(t, os.Chmod(filepath.Join(dir, open), 0o755))
			_, err = u.Recover(t.Context())
			require.NoError(t, err)
		})
	}
}
