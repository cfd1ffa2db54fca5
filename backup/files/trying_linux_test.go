package files_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// On exFAT, or a share, a new directory does not get the permissions that it is made
// with, so that nothing could be restored there. Trying shows that; a plan makes nothing.
func TestARestoreIsTriedBeforeAnUpdate(t *testing.T) {
	w := newWorld(t)
	database := filepath.Join(filepath.Dir(w.dir), "asp.db")
	write(t, database, "not opened", 0o600)
	targets := map[string]backup.Sizer{"directory": w.target, "SQLite": &files.SQLite{Path: database}}
	check := func(refused bool) {
		t.Helper()
		for name, target := range targets {
			_, err := target.Needs(t.Context())
			require.NoError(t, err, name)
			_, err = target.Needs(durable.Trying(t.Context()))
			if refused {
				require.ErrorContains(t, err, "nothing could be restored beside it", name)
				require.ErrorContains(t, err, "its file system keeps no owners and permissions", name)
			} else {
				require.NoError(t, err, name)
			}
			require.Equal(t, []string{"asp.db"}, beside(t, w.dir), "%s: nothing is left", name)
		}
	}
	check(false)
	// What is made here is not for its owner to write to.
	if out, err := exec.Command("setfacl", "-d", "-m", "u::rx", filepath.Dir(w.dir)).CombinedOutput(); err != nil {
		realtest.Skip(t, "setfacl is not possible here: %v: %s", err, out)
	}
	check(true)
}
