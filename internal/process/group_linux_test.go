package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// requireGroups skips where this process may make no control group.
func requireGroups(t *testing.T) {
	t.Helper()
	dir := NewRecord().Group
	if dir == "" {
		realtest.Skip(t, "no control groups of version 2 here")
	}
	f, err := makeGroup(dir)
	if err != nil {
		realtest.Skip(t, "no control group can be made here: %v", err)
	}
	_ = f.Close()
	removeGroup(dir)
	require.NoDirExists(t, dir)
}

// The group of a record is used only if it can be that tree's: no other processes
// are ended.
func TestForeignGroupsAreNotUsed(t *testing.T) {
	requireGroups(t)
	rec := NewRecord()
	id, dir := rec.ID, rec.Group
	f, err := makeGroup(dir)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, dir, groupOf(Record{ID: id, Group: dir}))
	plain := filepath.Join(t.TempDir(), groupPrefix+id)
	require.NoError(t, os.Mkdir(plain, 0o700))
	for _, group := range []string{"", filepath.Dir(dir), plain, dir + "/..", filepath.Join(filepath.Dir(dir), "no", groupPrefix+id)} {
		require.Empty(t, groupOf(Record{ID: id, Group: group}), group)
	}
	require.Empty(t, groupOf(Record{ID: NewRecord().ID, Group: dir}))

	// What was left by a tree is removed by the next, once it is empty.
	require.NoError(t, Do(t.Context(), exec.Command("/bin/true")))
	require.NoDirExists(t, dir)
}

func TestGroupDir(t *testing.T) {
	const (
		pure    = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
		hybrid  = "33 24 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs rw\n34 33 0:29 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n"
		partial = "35 24 0:30 /system.slice /mnt/cg rw - cgroup2 none rw\n"
	)
	for _, c := range []struct{ own, mounts, want string }{
		{"0::/\n", pure, "/sys/fs/cgroup"},
		{"1:cpu:/x\n0::/system.slice/asp.service\n", pure, "/sys/fs/cgroup/system.slice/asp.service"},
		{"0::/\n", hybrid, "/sys/fs/cgroup/unified"},
		{"0::/system.slice/asp.service\n", partial, "/mnt/cg/asp.service"},
		{"0::/user.slice\n", partial, ""},
		{"0::/../outside\n", pure, ""},
		{"1:cpu:/x\n", pure, ""},
		{"0::/\n", "36 24 0:30 / /a\\040b rw - cgroup2 none rw\n", ""},
		{"0::/\n", "nonsense - cgroup2\n", ""},
		{"", "", ""},
	} {
		require.Equal(t, c.want, groupDir(c.own, c.mounts), "%q %q", c.own, c.mounts)
	}
}
