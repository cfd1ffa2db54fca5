//go:build unix

package backup_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// A store that others can change is neither written nor believed.
func TestStoreThatOthersCanChangeIsRefused(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp")
	for name, open := range map[string]string{"the directory": "a/backups", "a parent": "a"} {
		t.Run(name, func(t *testing.T) {
			dir := realtest.SharedDir(t)
			s := &backup.Store{Dir: filepath.Join(dir, "a", "backups")}
			require.NoError(t, os.MkdirAll(s.Dir, 0o755))
			require.NoError(t, os.Chmod(filepath.Join(dir, open), 0o777))
			const id = "20260101T000000Z-aaaaaaaa"
			_, list := s.List()
			_, get := s.Get(id)
			_, take := s.Take(t.Context(), "x", nil)
			_, restore := s.Restore(t.Context(), id, nil)
			_, prune := s.Prune(t.Context(), backup.Retention{Newest: 1}, []string{})
			for _, err := range []error{list, get, take, restore, prune, s.Verify(t.Context(), id), s.Tidy(t.Context())} {
				require.ErrorContains(t, err, "the mode of "+filepath.Join(dir, open)+" is 0777; chmod go-w")
			}
			left, err := os.ReadDir(s.Dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}
