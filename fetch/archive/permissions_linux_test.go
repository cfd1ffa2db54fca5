package archive_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// ordinary runs f without root's right to read and write everything.
func ordinary(t *testing.T, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never back: the thread ends with the goroutine
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		err := unix.Capget(&header, &data[0])
		if err == nil {
			data[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
			err = unix.Capset(&header, &data[0])
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	require.NoError(t, <-done)
}

// An archive that may only be read can be read, and no writer harms it.
func TestR10AnArchiveThatMayOnlyBeRead(t *testing.T) {
	for name, lock := range map[string]bool{"with the lock's file": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			a, _ := aged(t, "7.01.100", "7.02.100")
			it, err := a.Get(key("asp", "7.01.100", version.Setup))
			require.NoError(t, err)
			if !lock {
				require.NoError(t, os.Remove(filepath.Join(a.Dir, ".lock")))
			}
			chmod := func(directories, files fs.FileMode) {
				require.NoError(t, filepath.WalkDir(a.Dir, func(path string, d fs.DirEntry, err error) error {
					if err != nil {
						return err
					}
					if d.IsDir() {
						return os.Chmod(path, directories)
					}
					return os.Chmod(path, files)
				}))
			}
			before := contents(t, a.Dir)
			chmod(0o500, 0o400)
			t.Cleanup(func() { chmod(0o700, 0o600) })

			var items, plan []archive.Item
			var list, get, verify, prunable, prune, imported error
			ordinary(t, func() {
				items, list = a.List()
				_, get = a.Get(it.Key)
				verify = a.Verify(t.Context(), it)
				plan, prunable = a.Prunable(archive.Retention{Newest: 1}, nothingInUse)
				_, prune = a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse)
				_, imported = a.Import(t.Context(), it.Path, key("asp", "7.03.100", version.Setup), archive.Unauthenticated("a test"))
			})
			require.NoError(t, list)
			require.Len(t, items, 2)
			require.NoError(t, get)
			require.NoError(t, verify)
			require.NoError(t, prunable)
			require.Len(t, plan, 1)
			require.ErrorIs(t, prune, fs.ErrPermission)
			require.ErrorIs(t, imported, fs.ErrPermission)
			require.Equal(t, before, contents(t, a.Dir))
		})
	}
}

// Nobody but the owner reads or changes the archive, whatever the umask says.
func TestR10TheArchiveIsItsOwnersAlone(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077} {
		t.Run(fmt.Sprintf("%#o", umask), func(t *testing.T) {
			defer unix.Umask(unix.Umask(umask))
			a, _ := aged(t, "7.01.100")
			_, err := a.Import(t.Context(), first(t, a, "7.01.100")+"/Setup.exe", key("asp", "7.01.100", version.Setup), archive.PinnedSHA256(lab.Sum([]byte("setup 7.01.100")))) // writes the manifest anew
			require.NoError(t, err)
			modes := map[string]fs.FileMode{}
			require.NoError(t, filepath.WalkDir(a.Dir, func(_ string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				fi, err := d.Info()
				if d.IsDir() {
					modes["directory"] |= fi.Mode().Perm()
				} else {
					modes[d.Name()] = fi.Mode().Perm()
				}
				return err
			}))
			require.Equal(t, map[string]fs.FileMode{"directory": 0o700, ".lock": 0o600, "manifest.json": 0o600, "Setup.exe": 0o500}, modes)
		})
	}
}

// Only files and directories are imported.
func TestImportOfWhatIsNoFile(t *testing.T) {
	a, _ := aged(t)
	for path, why := range map[string]string{
		"/dev/zero": "neither a regular file nor a directory", t.TempDir(): "a directory without files", "/proc/self": "neither a file nor a directory",
	} {
		_, err := a.Import(t.Context(), path, key("asp", "7.01.100", version.Setup), archive.Unauthenticated("a test"))
		require.ErrorContains(t, err, why, path)
	}
	require.Empty(t, whole(t, a))
}

// A pipe or a socket in the place of an installer is not read.
func TestR10APipeInThePlaceOfAnInstaller(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100")
	path := filepath.Join(first(t, a, "7.01.100"), "Setup.exe")
	require.NoError(t, os.Remove(path))
	require.NoError(t, unix.Mkfifo(path, 0o600))
	items, err := a.List()
	require.ErrorContains(t, err, "is not the file of")
	require.Equal(t, []string{"asp 7.02.100 Setup"}, numbers(items))
}

// What is no longer in the archive and cannot be deleted is reported, and deleted by the
// next Prune that can.
func TestR10PruneOfWhatCannotBeDeleted(t *testing.T) {
	a, _ := aged(t, "7.01.100", "7.02.100", "7.03.100")
	require.NoError(t, os.Chmod(first(t, a, "7.01.100"), 0o500))
	var gone []archive.Item
	var err error
	ordinary(t, func() { gone, err = a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse) })
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "it is no longer in the archive")
	require.Equal(t, []string{"asp 7.01.100 Setup", "asp 7.02.100 Setup"}, numbers(gone))
	require.Len(t, whole(t, a), 1)
	hidden, err := filepath.Glob(filepath.Join(a.Dir, "asp", ".pruned-*", "*"))
	require.NoError(t, err)
	require.Len(t, hidden, 1)
	require.NoError(t, os.Chmod(hidden[0], 0o700))
	ordinary(t, func() { gone, err = a.Prune(t.Context(), archive.Retention{Newest: 1}, nothingInUse) })
	require.NoError(t, err)
	require.Empty(t, gone)
	hidden, err = filepath.Glob(filepath.Join(a.Dir, "asp", ".*"))
	require.NoError(t, err)
	require.Empty(t, hidden)
}
