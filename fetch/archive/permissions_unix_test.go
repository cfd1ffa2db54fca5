//go:build unix

package archive_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// An archive that others can change is neither written nor believed.
func TestR10ArchiveThatOthersCanChangeIsRefused(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp")
	for name, open := range map[string]string{"the directory": "a/archive", "a parent": "a"} {
		t.Run(name, func(t *testing.T) {
			dir := realtest.SharedDir(t)
			a := &archive.Archive{Dir: filepath.Join(dir, "a", "archive")}
			require.NoError(t, os.MkdirAll(a.Dir, 0o755))
			require.NoError(t, os.Chmod(filepath.Join(dir, open), 0o777))
			k := key("asp", "7.01.100", 0)
			_, list := a.List()
			k.Variant++
			_, get := a.Get(k)
			_, imported := a.Import(t.Context(), "/etc/passwd", k, archive.Unauthenticated("a test"))
			_, prunable := a.Prunable(archive.Retention{Newest: 1}, []archive.Key{})
			_, prune := a.Prune(t.Context(), archive.Retention{Newest: 1}, []archive.Key{})
			for _, err := range []error{list, get, imported, prunable, prune} {
				require.ErrorContains(t, err, "the mode of "+filepath.Join(dir, open)+" is 0777; chmod go-w")
			}
			left, err := os.ReadDir(a.Dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}
