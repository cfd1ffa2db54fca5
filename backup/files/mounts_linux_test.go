package files_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// mount mounts a share in a directory, until the test ends.
func mount(t *testing.T, at string) (share string) {
	t.Helper()
	share = t.TempDir()
	write(t, filepath.Join(share, "precious"), "precious", 0o600)
	out, err := exec.Command("mount", "--bind", share, at).CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() { _ = exec.Command("umount", at).Run() })
	return share
}

// A share that is mounted inside a directory is found before an update. One that
// is mounted after the backup is neither moved nor emptied by a restore.
func TestShareInsideADirectory(t *testing.T) {
	realtest.WithMounts(t, "TestShareInsideADirectory", func() {
		w := newWorld(t)
		at := filepath.Join(w.dir, "empty")
		before := state(t, w.dir)
		share := mount(t, at)
		_, err := w.target.Needs(t.Context())
		require.ErrorContains(t, err, at+" is mounted inside "+w.dir)
		_, err = w.store.Take(t.Context(), "again", w.target)
		require.ErrorContains(t, err, at+" is mounted inside "+w.dir)
		_, err = w.store.Restore(t.Context(), w.id, w.target)
		require.ErrorContains(t, err, at+" is mounted inside "+w.dir)
		require.Empty(t, beside(t, w.dir))
		require.FileExists(t, filepath.Join(share, "precious"))
		require.NoError(t, exec.Command("umount", at).Run())
		require.Equal(t, before, state(t, w.dir))

		r, err := w.store.Restore(t.Context(), w.id, w.target)
		require.NoError(t, err)
		aside := filepath.Join(filepath.Dir(w.dir), beside(t, w.dir)[0], "empty")
		share = mount(t, aside)
		require.ErrorContains(t, r.Discard(t.Context()), "is mounted there from another volume")
		require.Error(t, w.target.Tidy(t.Context()))
		require.FileExists(t, filepath.Join(share, "precious"))
		require.NoError(t, exec.Command("umount", aside).Run())
		require.NoError(t, w.target.Tidy(t.Context()))
		require.Equal(t, w.before, state(t, w.dir))
	})
}

// A mount point cannot be renamed, which a rollback would be the first to find.
func TestDirectoryThatIsAMountPoint(t *testing.T) {
	realtest.WithMounts(t, "TestDirectoryThatIsAMountPoint", func() {
		w := newWorld(t)
		mount(t, w.dir)
		_, err := w.target.Needs(t.Context())
		require.ErrorContains(t, err, "a mount point cannot be renamed")
		_, err = w.store.Take(t.Context(), "again", w.target)
		require.ErrorContains(t, err, "a mount point cannot be renamed")
	})
}

func TestMarkedAsImmutable(t *testing.T) {
	for _, name := range []string{".", "bin", "bin/server", ".."} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			path := filepath.Join(w.dir, name)
			if out, err := exec.Command("chattr", "+i", path).CombinedOutput(); err != nil {
				realtest.Skip(t, "this account or file system does not mark files: %s", out)
			}
			t.Cleanup(func() { _ = exec.Command("chattr", "-i", path).Run() })
			_, err := w.target.Needs(t.Context())
			require.ErrorContains(t, err, path+" is marked as immutable")
			_, err = w.store.Take(t.Context(), "again", w.target)
			require.ErrorContains(t, err, path+" is marked as immutable")
		})
	}
}

// What belongs to files besides bytes and permissions comes back: access
// control lists, capabilities, attributes, hard links and holes.
func TestAttributesAreRestored(t *testing.T) {
	if os.Getuid() != 0 {
		realtest.Skip(t, "only root sets capabilities")
	}
	w := newWorld(t)
	server, other := filepath.Join(w.dir, "bin", "server"), filepath.Join(w.dir, "bin", "other")
	require.NoError(t, os.Link(server, other))
	for _, cmd := range [][]string{
		{"setcap", "cap_net_bind_service=ep", server},
		{"setfacl", "-m", "u:12345:r", filepath.Join(w.dir, "пусто.txt")},
		{"setfacl", "-d", "-m", "u:12345:rwx", filepath.Join(w.dir, "bin")},
		{"setfacl", "-d", "-m", "u:54321:rwx", w.dir},
		{"setfattr", "-n", "user.note", "-v", "заметка\x01", filepath.Join(w.dir, "empty")},
		{"truncate", "-s", "32M", filepath.Join(w.dir, "sparse")},
	} {
		if out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput(); err != nil {
			realtest.Skip(t, "%s is not possible here: %v: %s", cmd[0], err, out)
		}
	}
	attrs := func() string {
		out, err := exec.Command("sh", "-c", `cd "$1" && getfattr -h -R -d -m - -e hex . && getcap -r . && getfacl -R -n . && stat -c '%n %h' bin/*`, "sh", w.dir).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	before := attrs()
	require.Contains(t, before, "cap_net_bind_service=ep")
	require.Contains(t, before, "user:12345:r--")
	require.Contains(t, before, "bin/other 2")
	snap, err := w.store.Take(t.Context(), "x", w.target)
	require.NoError(t, err)
	want := state(t, w.dir)
	for _, cmd := range [][]string{{"setcap", "-r", server}, {"setfacl", "-R", "-b", w.dir}, {"setfacl", "-d", "-m", "u:999:rwx", filepath.Dir(w.dir)}, {"rm", other}} {
		require.NoError(t, exec.Command(cmd[0], cmd[1:]...).Run(), cmd)
	}
	_, err = w.store.Prove(t.Context(), snap.ID, w.target)
	require.NoError(t, err)
	_, err = w.store.Restore(t.Context(), snap.ID, w.target)
	require.NoError(t, err)
	require.Equal(t, before, attrs())
	require.Equal(t, want, state(t, w.dir))
	out, err := exec.Command("du", "-k", filepath.Join(w.dir, "sparse")).Output()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(out), "0\t"), "%s", out)
}
