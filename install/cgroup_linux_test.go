package install

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// requireGroups skips where this process may make no control group.
func requireGroups(t *testing.T) {
	t.Helper()
	dir := groupPath(newID())
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

func TestCancelLeavesNoProcessWithoutGroups(t *testing.T) { cancelLeavesNoProcess(t, true) }

// forgetful leaves a process with a session of its own, without its parent and
// without a variable that tells whose it is.
func forgetful(dir string) []string {
	return []string{"pid=" + filepath.Join(dir, "a"), "child=0", "pid=" + filepath.Join(dir, "b"), "bare-daemon=0", "pid=" + filepath.Join(dir, "c"), "hang"}
}

func TestAGroupHoldsWhatForgetsWhoseItIs(t *testing.T) {
	requireGroups(t)
	for _, noGroup := range []bool{false, true} {
		steps := forgetful(t.TempDir())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, _ := newRunner(t)
		r.noGroup = noGroup
		cmd := fake(t, steps...)
		done := make(chan error, 1)
		go func() {
			_, err := r.Run(ctx, cmd)
			done <- err
		}()
		all := pids(t, steps)
		if noGroup { // the hazard: nothing tells that it is the installer's
			require.NoError(t, <-done)
			require.True(t, alive(all[2]))
			continue
		}
		select {
		case err := <-done:
			t.Fatalf("the run ended before its last process: %v", err)
		case <-time.After(lingerGrace):
		}
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		requireDead(t, all...)
		requireClean(t, r)
	}
}

func TestSettleFindsTheGroupOfADeadRunner(t *testing.T) {
	requireGroups(t)
	for _, recorded := range []bool{true, false} {
		steps := forgetful(t.TempDir())
		r, _ := orphan(t, steps...)
		all := pids(t, steps)
		rec, _, err := r.readRecord()
		require.NoError(t, err)
		require.DirExists(t, rec.Group)
		if !recorded { // it died after the start and before the number was recorded
			rec.PID, rec.Birth = 0, ""
			require.NoError(t, r.writeRecord(rec))
		}
		r.Now = func() time.Time { return time.Now().Add(DefaultDeadline + time.Minute) }
		s, err := r.Settle(t.Context())
		require.NoError(t, err)
		require.Equal(t, Ended, s.Found)
		requireDead(t, all...)
		require.NoDirExists(t, rec.Group)
		requireClean(t, r)
	}
}

// A record names a group only if it can be that run's: nobody else's processes
// are ended.
func TestAGroupThatIsNotOursIsLeftAlone(t *testing.T) {
	requireGroups(t)
	id := newID()
	dir := groupPath(id)
	f, err := makeGroup(dir)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, dir, groupOf(record{ID: id, Group: dir}))
	plain := filepath.Join(t.TempDir(), groupPrefix+id)
	require.NoError(t, os.Mkdir(plain, 0o700))
	for _, group := range []string{"", filepath.Dir(dir), plain, dir + "/..", filepath.Join(filepath.Dir(dir), "no", groupPrefix+id)} {
		require.Empty(t, groupOf(record{ID: id, Group: group}), group)
	}
	require.Empty(t, groupOf(record{ID: newID(), Group: dir}))

	// What was left by a run is removed by the next, once it is empty.
	r, _ := newRunner(t)
	_, err = r.Run(t.Context(), fake(t))
	require.NoError(t, err)
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

// R11: a process that starts another and ends, a hundred times over, is never
// seen in two looks: it is the kernel that knows that somebody is at work.
func TestARelayOfProcessesIsWaitedFor(t *testing.T) {
	requireGroups(t)
	dir := t.TempDir()
	mark, relay := filepath.Join(dir, "mark"), filepath.Join(dir, "relay")
	require.NoError(t, os.WriteFile(relay, []byte(`#!/bin/sh
[ "$1" = 0 ] && exec touch "$2"
/usr/bin/env -i /usr/bin/setsid /bin/sh "$0" $(($1 - 1)) "$2" &
`), 0o700))
	r, _ := newRunner(t)
	_, err := r.Run(t.Context(), Command{Path: "/bin/sh", SHA256: sumOf(t, "/bin/sh"), Args: []string{relay, "100", mark}, Env: fakeEnv(), Deadline: time.Minute})
	require.NoError(t, err)
	require.FileExists(t, mark)
	requireClean(t, r)
}
