package rollback_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// removedWorld waits for a person: a remover was started, which may have taken the data
// along, and the data could not be restored. Its installer can remove.
func removedWorld(t *testing.T) (w *world, update func() *rollback.Update) {
	w = newWorld(t, "ASP")
	update = func() *rollback.Update {
		u := w.update()
		u.Parts[0].Installer = remover{installer{w, "ASP"}}
		return u
	}
	w.write(t, "archive.ASP."+newVersion, "bad")
	w.failing("restore ASP")
	plan, err := update().Plan(t.Context())
	require.NoError(t, err)
	_, err = update().Run(t.Context(), plan)
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.Contains(t, w.calls, "remove ASP")
	w.fault = nil
	return w, update
}

// Another file than the data does not exist. Even where the data may have been removed
// that says nothing about it.
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
			w, update := removedWorld(t)
			w.enter(t, newVersion, newRows)
			w.fault = func(call string) error {
				if call == c.call {
					return fmt.Errorf("dump: %w", c.err)
				}
				return nil
			}
			_, err := update().Retry(t.Context(), "the disk is replaced")
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

	// Where the data may have been removed it is asked for again in each attempt.
	w, update := removedWorld(t)
	w.enter(t, newVersion, newRows)
	missing := map[string]error{
		"snapshot ASP": &fs.PathError{Op: "stat", Path: "data.ASP", Err: fs.ErrNotExist},
		"remove ASP":   errors.New("the volume is not mounted"),
	}
	w.fault = func(call string) error {
		err := missing[call]
		delete(missing, call)
		return err
	}
	res, err = update().Retry(t.Context(), "the disk is replaced")
	require.NoError(t, err)
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
