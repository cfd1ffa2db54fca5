package command_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/backuptest"
	"github.com/aspupdate/aspupdate/backup/command"
)

func TestFileIsATarget(t *testing.T) {
	t.Parallel()
	backuptest.Test(t, func(t *testing.T) backuptest.Fixture {
		w := newWorld(t)
		return backuptest.Fixture{Target: w.target, Change: w.change, State: w.state}
	})
}

func TestNamesAreATarget(t *testing.T) {
	t.Parallel()
	backuptest.Test(t, func(t *testing.T) backuptest.Fixture {
		w := newServer(t)
		return backuptest.Fixture{Target: w.target, Change: w.change, State: w.state}
	})
}

func TestR9BackupIsWhatTheCommandWrote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	snap := w.take(t)
	require.Len(t, snap.Files, 1, "nothing but the backup is sealed")
	require.Equal(t, "backup", snap.Files[0].Path)
	require.Equal(t, "copy 1.0", snap.Meta.Engine)
	require.Empty(t, w.beside(t), "the trial restore is dropped")
}

// Commands that exit with success and did nothing, or fail half way.
func TestR9FailingBackupIsNoSnapshot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*testing.T, *world)
		want  string
	}{
		"wrote nothing":       {func(t *testing.T, w *world) { w.target.Commands.Backup = tool(t, "nothing", "{file}") }, "wrote nothing"},
		"wrote an empty file": {func(t *testing.T, w *world) { w.target.Commands.Backup = tool(t, "copy", os.DevNull, "{file}") }, "wrote nothing"},
		"wrote nothing into the directory": {func(t *testing.T, w *world) { w.target.Commands.Backup = tool(t, "nothing", "{dir}") },
			"wrote nothing"},
		"failed":              {func(t *testing.T, w *world) { w.target.Commands.Backup = tool(t, "half", "{live}", "{file}") }, "exit code 3; the end of its output: half done"},
		"verify failed":       {func(t *testing.T, w *world) { w.target.Commands.Verify = tool(t, "half", "{file}", "{new}") }, "verify "},
		"verify differs":      {func(t *testing.T, w *world) { w.target.Commands.Verify = tool(t, "copy", os.Args[0], "{new}") }, backup.ErrMismatch.Error()},
		"no such program":     {func(_ *testing.T, w *world) { w.target.Commands.Backup.Argv = []string{"no-such-program-here"} }, "no-such-program-here"},
		"describe is silent":  {func(t *testing.T, w *world) { w.target.Commands.Describe = tool(t, "nothing") }, "printed nothing"},
		"nothing is live":     {func(_ *testing.T, w *world) { w.target.Live += "x" }, "not found"},
		"relative":            {func(_ *testing.T, w *world) { w.target.Live = "x" }, "absolute"},
		"not named":           {func(_ *testing.T, w *world) { w.target.Live = "" }, "set Live"},
		"no command":          {func(_ *testing.T, w *world) { w.target.Commands.Restore.Argv = nil }, "set Restore"},
		"half of the names":   {func(t *testing.T, w *world) { w.target.Commands.List = tool(t, "list", ".") }, "set all or none"},
		"foreign placeholder": {func(t *testing.T, w *world) { w.target.Commands.Backup = tool(t, "copy", "{new}", "{file}") }, "unknown placeholder {new} of backup"},
		"negative timeout":    {func(_ *testing.T, w *world) { w.target.Commands.Verify.Timeout = -1 }, "verify is negative"},
		"exit code not OK":    {func(_ *testing.T, w *world) { w.target.Commands.Backup.OK = []int{1} }, "exit code 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			before := w.state(t)
			c.spoil(t, w)
			_, err := w.store.Take(t.Context(), "x", w.target)
			require.ErrorContains(t, err, c.want)
			list, err := w.store.List()
			require.NoError(t, err)
			require.Empty(t, list)
			require.Empty(t, w.beside(t))
			require.Equal(t, before, w.state(t))
		})
	}
}

// A restore that stops half way, or exits with success all the same, never gets the
// live name.
func TestR15FailingRestoreLeavesTheLiveData(t *testing.T) {
	t.Parallel()
	for name, restore := range map[string]func(*testing.T) command.Command{
		"stopped half way": func(t *testing.T) command.Command { return tool(t, "half", "{file}", "{new}") },
		"half, with success": func(t *testing.T) command.Command {
			c := tool(t, "half", "{file}", "{new}")
			c.OK = []int{3}
			return c
		},
		"made nothing": func(t *testing.T) command.Command { return tool(t, "nothing", "{new}") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, w := range []*world{newWorld(t), newServer(t)} {
				snap := w.take(t)
				w.change(t)
				before := w.state(t)
				good := w.target.Commands.Restore
				w.target.Commands.Restore = restore(t)
				if w.target.Commands.List.Argv != nil {
					for i, a := range w.target.Commands.Restore.Argv {
						w.target.Commands.Restore.Argv[i] = strings.NewReplacer(
							"{file}", good.Argv[3], "{new}", good.Argv[4]).Replace(a)
					}
				}
				_, err := w.store.Restore(t.Context(), snap.ID, w.target)
				require.Error(t, err)
				require.Equal(t, before, w.state(t))
				if errors.Is(err, backup.ErrMismatch) {
					require.Len(t, w.beside(t), 1, "what was made and differs is kept")
					require.NoError(t, w.target.Tidy(t.Context()))
				}
				require.Empty(t, w.beside(t), "what was half made is dropped")

				w.target.Commands.Describe = command.Command{}
				_, err = w.store.Restore(t.Context(), snap.ID, w.target)
				require.ErrorContains(t, err, "set Describe", "a backup made with Describe is always compared")
			}
		})
	}
}

// After a kill between any two renames the live name is given back to what was live,
// and nothing half made stays.
func TestR15KilledSwap(t *testing.T) {
	t.Parallel()
	const mark = "_0123456789ab"
	for name, kind := range map[string]string{"restore": "new", "undo": "undone"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, w := range []*world{newWorld(t), newServer(t)} {
				old := w.state(t)
				require.NoError(t, os.Rename(w.live, w.live+"_aspupdate_old"+mark))
				require.NoError(t, os.WriteFile(w.live+"_aspupdate_"+kind+mark, []byte("new"), 0o600))
				require.NoError(t, os.WriteFile(w.live+"_aspupdate_new_0123456789ac", []byte("half made"), 0o600))
				require.NoError(t, os.WriteFile(w.live+"_aspupdate_new_of mine", []byte("a person's"), 0o600))
				w.take(t)
				require.Equal(t, old, w.state(t))
				require.Equal(t, []string{filepath.Base(w.live) + "_aspupdate_new_of mine"}, w.beside(t))
			}
		})
	}
	t.Run("live data removed by hand", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		require.NoError(t, os.Rename(w.live, w.live+"_aspupdate_old"+mark))
		require.ErrorContains(t, w.target.Tidy(t.Context()), "all that is left")
		require.Len(t, w.beside(t), 1, "the last copy stays")
	})
}

// A tool that fails with exit code 0, as sqlcmd does without -b, and one that succeeds
// with exit code 1.
func TestR15RenameIsJudgedByItsEffect(t *testing.T) {
	t.Parallel()
	w := newServer(t)
	snap := w.take(t)
	w.change(t)
	before := w.state(t)
	good := w.target.Commands.Rename
	w.target.Commands.Rename = tool(t, "nothing")
	_, err := w.store.Restore(t.Context(), snap.ID, w.target)
	require.ErrorContains(t, err, "rename ")
	require.ErrorContains(t, err, "did not become")
	require.Equal(t, before, w.state(t))
	require.Empty(t, w.beside(t))

	good.OK = []int{1} // so that 0, which it ends with, is a failure
	w.target.Commands.Rename = good
	r, err := w.store.Restore(t.Context(), snap.ID, w.target)
	require.NoError(t, err)
	require.NotEqual(t, before, w.state(t))
	require.NoError(t, r.Undo(t.Context()))
	require.Equal(t, before, w.state(t))
	require.Empty(t, w.beside(t))
}

func TestOtherSnapshotIsRefused(t *testing.T) {
	t.Parallel()
	one, other := newWorld(t), newWorld(t)
	snap := one.take(t)
	_, err := one.store.Restore(t.Context(), snap.ID, other.target)
	require.ErrorIs(t, err, backup.ErrIncompatible)
	require.NoError(t, os.Remove(other.live))
	r, err := one.store.Restore(t.Context(), snap.ID, other.target)
	require.NoError(t, err, "where nothing is, it may go")
	require.Equal(t, one.state(t), other.state(t))
	require.NoError(t, r.Undo(t.Context()))
	require.NoFileExists(t, other.live)
}

// A database server runs as a user of its own.
func TestRestoredFileKeepsItsOwner(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no mode and owner on Windows")
	}
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, os.Chmod(w.live, 0o660))
	if os.Getuid() == 0 {
		require.NoError(t, os.Chown(w.live, 12345, 12346))
	}
	before, err := os.Stat(w.live)
	require.NoError(t, err)
	snap := w.take(t)
	_, err = w.store.Restore(t.Context(), snap.ID, w.target)
	require.NoError(t, err)
	after, err := os.Stat(w.live)
	require.NoError(t, err)
	require.Equal(t, before.Mode(), after.Mode())
	requireSameOwner(t, before, after)
}

// The owner and the permissions that are recorded are those of the file that the
// commands have read.
func TestFileThatIsReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := filepath.Join(t.TempDir(), "other")
	require.NoError(t, os.WriteFile(other, []byte("another file"), 0o600))
	w.target.Commands.Verify = tool(t, "replace", other, "{live}")
	_, err := w.store.Take(t.Context(), "x", w.target)
	require.ErrorContains(t, err, "the file was replaced while it was backed up")
	list, err := w.store.List()
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestNeedsOfAFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	needs, err := w.store.Needs(t.Context(), w.target)
	require.NoError(t, err)
	require.Len(t, needs, 3)
	for _, n := range needs {
		require.Equal(t, int64(len(w.state(t))), n.Bytes)
		require.NotEmpty(t, n.Path)
	}
	s := newServer(t)
	needs, err = s.store.Needs(t.Context(), s.target)
	require.NoError(t, err)
	require.Empty(t, needs, "a server elsewhere cannot be looked into")
}

// What was restored, and of which Describe prints something else, stays beside the live data, and is
// put in place for a person who has looked at it.
func TestR15WhatDiffersIsKept(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]*world{"a file": newWorld(t), "a server": newServer(t)} {
		t.Run(name, func(t *testing.T) {
			snap := w.take(t)
			w.change(t)
			live := w.state(t)
			other := filepath.Join(t.TempDir(), "other")
			require.NoError(t, os.WriteFile(other, []byte("numbered anew"), 0o600))
			restore := &w.target.Commands.Restore
			restore.Argv = slices.Clone(restore.Argv)
			restore.Argv[3] = other
			kept := func(err error) (name string, differences []string) {
				t.Helper()
				require.ErrorIs(t, err, backup.ErrMismatch)
				e, ok := errors.AsType[interface {
					error
					Beside() (string, []string)
				}](err)
				require.True(t, ok, err)
				return e.Beside()
			}
			dir := filepath.Join(w.store.Dir, snap.ID, "data")

			_, err := w.store.Restore(t.Context(), snap.ID, w.target)
			first, diff := kept(err)
			require.Len(t, diff, 1)
			require.ErrorContains(t, err, "it stays beside the live one as "+strconv.Quote(first))
			require.Equal(t, live, w.state(t))
			require.Equal(t, []string{filepath.Base(first)}, w.beside(t))
			got, err := os.ReadFile(filepath.Join(filepath.Dir(w.live), filepath.Base(first)))
			require.NoError(t, err)
			require.Equal(t, "numbered anew", string(got), "a person can look at it")

			_, err = w.target.RestoreDiffering(t.Context(), dir, snap.Meta, []string{"something else"})
			second, _ := kept(err)
			require.NotEqual(t, first, second)
			require.Equal(t, []string{filepath.Base(second)}, w.beside(t), "never more than one is kept")

			r, err := w.target.RestoreDiffering(t.Context(), dir, snap.Meta, diff)
			require.NoError(t, err)
			require.Equal(t, "numbered anew", w.state(t))
			require.NoError(t, r.Undo(t.Context()))
			require.Equal(t, live, w.state(t))
			require.Empty(t, w.beside(t))
		})
	}
}
