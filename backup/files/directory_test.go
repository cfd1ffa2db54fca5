package files_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/backuptest"
	"github.com/aspupdate/aspupdate/backup/files"
)

// fill makes a directory such as an application has.
func fill(t *testing.T, dir string) {
	t.Helper()
	write(t, filepath.Join(dir, "Опека и попечительство", "настройки.ini"), "база=опека\n", 0o640)
	write(t, filepath.Join(dir, "bin", "server"), strings.Repeat("x", 100_000), 0o755)
	write(t, filepath.Join(dir, "пусто.txt"), "", 0o600)
	write(t, filepath.Join(dir, "readonly", "a"), "a", 0o444)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o711))
	if runtime.GOOS != "windows" {
		write(t, filepath.Join(dir, "new\nline \"quoted\""), "odd", 0o600)
		write(t, filepath.Join(dir, "\xee\xef\xe5\xea\xe0.cfg"), "a name in CP1251", 0o600)
		write(t, filepath.Join(dir, strings.Repeat("д", 120)), "long", 0o600)
		require.NoError(t, os.Symlink("bin/server", filepath.Join(dir, "current")))
		require.NoError(t, os.Symlink("/nowhere/at/all", filepath.Join(dir, "dangling")))
	}
	long := time.Date(2019, 4, 1, 20, 0, 0, 123456700, time.UTC)
	require.NoError(t, os.Chtimes(filepath.Join(dir, "bin", "server"), long, long))
	require.NoError(t, os.Chtimes(filepath.Join(dir, "bin"), long, long))
	require.NoError(t, os.Chmod(filepath.Join(dir, "readonly"), 0o555))
	t.Cleanup(func() { openUp(filepath.Dir(dir)) })
}

// openUp lets another account than root remove the test's directory.
func openUp(dir string) {
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
}

func write(t *testing.T, path, text string, perm fs.FileMode) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), perm))
}

// state describes a directory: names, kinds, permissions, times, contents.
func state(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		fi, err := d.Info()
		require.NoError(t, err)
		rel, err := filepath.Rel(dir, p)
		require.NoError(t, err)
		fmt.Fprintf(&b, "%q %v", rel, fi.Mode())
		switch {
		case fi.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			require.NoError(t, err)
			fmt.Fprintf(&b, " -> %s", to)
		case fi.IsDir():
			fmt.Fprintf(&b, " %v", fi.ModTime().UnixNano())
		default:
			data, err := os.ReadFile(p)
			require.NoError(t, err)
			fmt.Fprintf(&b, " %v %x", fi.ModTime().UnixNano(), data)
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

func change(t *testing.T, dir string) {
	t.Helper()
	write(t, filepath.Join(dir, "migrations", fmt.Sprint(time.Now().UnixNano())), "new", 0o600)
	write(t, filepath.Join(dir, "Опека и попечительство", "настройки.ini"), "база=другая\n", 0o640)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "empty")))
	require.NoError(t, os.Chmod(filepath.Join(dir, "bin", "server"), 0o700))
}

func TestDirectoryIsATarget(t *testing.T) {
	backuptest.Test(t, func(t *testing.T) backuptest.Fixture {
		dir := filepath.Join(t.TempDir(), "программа")
		fill(t, dir)
		return backuptest.Fixture{
			Target: &files.Directory{Path: dir},
			Change: func(t *testing.T) { change(t, dir) },
			State:  func(t *testing.T) string { return state(t, dir) },
		}
	})
}

// beside returns the names beside the directory.
func beside(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		if e.Name() != filepath.Base(dir) && e.Name() != "store" {
			names = append(names, e.Name())
		}
	}
	return names
}

type world struct {
	dir    string
	target *files.Directory
	store  *backup.Store
	id     string
	before string
}

func newWorld(t *testing.T) world {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "app")
	fill(t, dir)
	w := world{dir: dir, target: &files.Directory{Path: dir}, store: &backup.Store{Dir: filepath.Join(t.TempDir(), "store")}}
	snap, err := w.store.Take(t.Context(), "app", w.target)
	require.NoError(t, err)
	w.id, w.before = snap.ID, state(t, dir)
	return w
}

func TestR15OldIsKeptAsideUntilDiscard(t *testing.T) {
	w := newWorld(t)
	change(t, w.dir)
	changed := state(t, w.dir)
	r, err := w.store.Restore(t.Context(), w.id, w.target)
	require.NoError(t, err)
	kept := beside(t, w.dir)
	require.Len(t, kept, 1)
	require.Regexp(t, `^app_aspupdate_old_[0-9a-f]{12}$`, kept[0])
	require.Equal(t, changed, state(t, filepath.Join(filepath.Dir(w.dir), kept[0])))
	_, err = w.store.Take(t.Context(), "another", w.target)
	require.NoError(t, err)
	require.Equal(t, kept, beside(t, w.dir), "a backup keeps what a restore kept")
	require.NoError(t, r.Discard(t.Context()))
	require.Empty(t, beside(t, w.dir))
}

// A run that is killed between two renames leaves nothing under the name. Any later
// call gives it back to the old data.
func TestSwapKilledBetweenRenames(t *testing.T) {
	for _, kind := range []string{"new", "undone"} {
		for name, call := range map[string]func(*testing.T, world) error{
			"tidy": func(t *testing.T, w world) error { return w.target.Tidy(t.Context()) },
			"backup": func(t *testing.T, w world) error {
				_, err := w.store.Take(t.Context(), "again", w.target)
				return err
			},
			"restore": func(t *testing.T, w world) error {
				r, err := w.store.Restore(t.Context(), w.id, w.target)
				if err == nil {
					err = r.Undo(t.Context())
				}
				return err
			},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				w := newWorld(t)
				change(t, w.dir)
				changed := state(t, w.dir)
				require.NoError(t, os.Rename(w.dir, w.dir+"_aspupdate_old_0123456789ab"))
				write(t, filepath.Join(w.dir+"_aspupdate_"+kind+"_0123456789ab", "file"), "the other", 0o600)
				require.NoError(t, call(t, w))
				require.Equal(t, changed, state(t, w.dir))
				require.Empty(t, beside(t, w.dir))
			})
		}
	}
}

func TestRestoreToAFreePath(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, os.Rename(w.dir, w.dir+"-gone"))
	r, err := w.store.Restore(t.Context(), w.id, w.target)
	require.NoError(t, err)
	require.Equal(t, w.before, state(t, w.dir))
	require.NoError(t, r.Undo(t.Context()))
	require.NoDirExists(t, w.dir)
	require.Equal(t, []string{"app-gone"}, beside(t, w.dir))
}

func TestNamesOfOthersStay(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"app_aspupdate_old_", "app_aspupdate_old_mine", "app_aspupdate_new_0123456789abc", "app2_aspupdate_old_0123456789ab", "app.bak"} {
		write(t, filepath.Join(filepath.Dir(w.dir), name, "f"), "foreign", 0o600)
	}
	before := beside(t, w.dir)
	require.NoError(t, w.target.Tidy(t.Context()))
	require.Equal(t, before, beside(t, w.dir))
}

func TestTidyKeepsTheOnlyCopy(t *testing.T) {
	w := newWorld(t)
	_, err := w.store.Restore(t.Context(), w.id, w.target)
	require.NoError(t, err)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	require.NoError(t, os.Rename(w.dir, elsewhere))
	t.Cleanup(func() { openUp(elsewhere) })
	require.ErrorContains(t, w.target.Tidy(t.Context()), "is all that is left")
	require.Len(t, beside(t, w.dir), 1)
}

func TestDirectoryRefuses(t *testing.T) {
	w := newWorld(t)
	take := func(path string, store string) error {
		_, err := (&backup.Store{Dir: store}).Take(t.Context(), "x", &files.Directory{Path: path})
		return err
	}
	out := t.TempDir()
	require.ErrorContains(t, take("", out), "set Path")
	require.ErrorContains(t, take(filepath.VolumeName(out)+string(filepath.Separator), out), "root of a volume")
	require.Error(t, take(filepath.Join(w.dir, "not there"), out))
	require.ErrorContains(t, take(filepath.Join(w.dir, "bin", "server"), out), "not a directory")
	require.ErrorContains(t, take(w.dir, filepath.Join(w.dir, "backups")), "move it elsewhere")
	require.NoError(t, os.RemoveAll(filepath.Join(w.dir, "backups")))

	other := filepath.Join(t.TempDir(), "other complex")
	fill(t, other)
	before := state(t, other)
	_, err := w.store.Restore(t.Context(), w.id, &files.Directory{Path: other})
	require.ErrorIs(t, err, backup.ErrIncompatible, "one directory never replaces another")
	require.Equal(t, before, state(t, other))
	fresh := filepath.Join(t.TempDir(), "fresh")
	t.Cleanup(func() { openUp(fresh) })
	_, err = w.store.Restore(t.Context(), w.id, &files.Directory{Path: fresh})
	require.NoError(t, err, "nothing exists there")
	require.Equal(t, w.before, state(t, fresh))
}

func TestDirectoryNeeds(t *testing.T) {
	w := newWorld(t)
	needs, err := w.store.Needs(t.Context(), w.target)
	require.NoError(t, err)
	require.Len(t, needs, 3)
	for _, n := range needs {
		require.GreaterOrEqual(t, n.Bytes, int64(100_000))
		require.NotEmpty(t, n.Path)
	}
	require.Equal(t, w.store.Dir, needs[0].Path)
}

// A snapshot that was taken by the first version of the package is restored.
// testdata holds one, of a directory at another path.
func TestSnapshotOfTheFirstVersionIsRestored(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the snapshot was taken on Linux, with its permissions")
	}
	dir := t.TempDir()
	store := &backup.Store{Dir: filepath.Join(dir, "backups")}
	require.NoError(t, os.CopyFS(store.Dir, os.DirFS("testdata")))
	live := filepath.Join(dir, "app")
	_, err := store.Restore(t.Context(), "20261129-113302.688464-591d3b6a", &files.Directory{Path: live})
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(live, "конфиг", "app.ini"))
	require.NoError(t, err)
	require.Equal(t, "color=blue\n", string(b))
}

func TestNameThatIsTooLongForACopy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("n", 240))
	write(t, filepath.Join(dir, "file"), "x", 0o600)
	target := &files.Directory{Path: dir}
	_, err := target.Needs(t.Context())
	require.ErrorContains(t, err, "is too long: a restore makes names beside it that are 30 bytes longer")
	_, err = target.Backup(t.Context(), t.TempDir())
	require.ErrorContains(t, err, "is too long")
	fits := filepath.Join(filepath.Dir(dir), strings.Repeat("n", 225))
	require.NoError(t, os.Rename(dir, fits))
	_, err = (&files.Directory{Path: fits}).Needs(t.Context())
	require.NoError(t, err)
}
