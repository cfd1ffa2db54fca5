package rollback_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// Another file than the data does not exist.
func TestFieldWhatIsMissingOtherThanTheDataIsNoAbsence(t *testing.T) {
	here, err := os.Executable()
	require.NoError(t, err)
	elsewhere := exec.Command(here)
	elsewhere.Dir = filepath.Join(t.TempDir(), "none")
	for name, c := range map[string]struct {
		call string
		err  error
	}{
		"the backup program":        {"snapshot ASP", exec.Command(filepath.Join(t.TempDir(), "pg_dump")).Run()},
		"a program without a place": {"snapshot ASP", &exec.Error{Name: "pg_dump", Err: fs.ErrNotExist}},
		"its working directory":     {"snapshot ASP", elsewhere.Run()},
		"the snapshot":              {"verify ASP", &fs.PathError{Op: "open", Path: "snapshot", Err: fs.ErrNotExist}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Error(t, c.err)
			w := stuckWorld(t)
			w.enter(t, newVersion, newRows)
			w.fault = func(call string) error {
				if call == c.call {
					return fmt.Errorf("dump: %w", c.err)
				}
				return nil
			}
			_, err := w.update().Retry(t.Context(), "the disk is replaced")
			require.ErrorIs(t, err, rollback.ErrNeedsOperator)
			require.ErrorContains(t, err, "nothing is restored without one of today")
			require.Equal(t, "schema "+newVersion+"\n"+newRows, w.read("data.ASP"))
		})
	}
}

// The volume of the data is not mounted. Nothing is restored in its place, and once
// it is mounted what it has is kept.
func TestFieldDataThatComesLateIsKept(t *testing.T) {
	w := stuckWorld(t)
	w.enter(t, newVersion, newRows)
	w.calls = nil
	w.fault = func(call string) error {
		if call == "snapshot ASP" {
			return &fs.PathError{Op: "stat", Path: "data.ASP", Err: fs.ErrNotExist}
		}
		return nil
	}
	_, err := w.update().Retry(t.Context(), "the disk is replaced")
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.NotContains(t, w.calls, "restore ASP")
	w.fault = nil
	res, err := w.update().Retry(t.Context(), "it is mounted")
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	w.stands(t, oldVersion, oldRows)
	w.keptRows(t, res.Kept, "schema "+newVersion+"\n"+newRows)
}

// A first installation whose backup program is missing has not found that there is no data.
func TestFieldFirstInstallationWithoutItsBackupProgramIsAbandoned(t *testing.T) {
	w := newWorld(t, "ASP")
	u := firstInstallation(t, w)
	u.Data = []rollback.Dataset{{Name: "ASP", Data: data{w, "ASP"}}}
	w.fault = func(call string) error {
		if call == "snapshot ASP" {
			return exec.Command(filepath.Join(t.TempDir(), "pg_dump")).Run()
		}
		return nil
	}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	res, err := u.Run(t.Context(), plan)
	require.Error(t, err)
	require.Equal(t, rollback.Abandoned, res.Outcome)
}
