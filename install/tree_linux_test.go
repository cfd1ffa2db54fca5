package install

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// bornEarlier is the birth of a process that had the number before.
func bornEarlier(pid int) string {
	p, _ := process.Lookup(pid)
	boot, start, _ := strings.Cut(p.Birth, "/")
	n, _ := strconv.Atoi(start)
	return boot + "/" + strconv.Itoa(n-1)
}

// requireGroups skips where this process may make no control group.
func requireGroups(t *testing.T) {
	t.Helper()
	dir := process.NewRecord().Group
	if dir == "" {
		realtest.Skip(t, "no control groups of version 2 here")
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		realtest.Skip(t, "no control group can be made here: %v", err)
	}
	require.NoError(t, os.Remove(dir))
}

func TestCancelLeavesNoProcessWithoutGroups(t *testing.T) { cancelLeavesNoProcess(t, true) }

// forgetful leaves a process with a session of its own, without its parent and
// without the variable that marks it.
func forgetful(dir string) []string {
	return []string{"pid=" + filepath.Join(dir, "a"), "child=0", "pid=" + filepath.Join(dir, "b"), "bare-daemon=0", "pid=" + filepath.Join(dir, "c"), "hang"}
}

func TestAGroupHoldsProcessesWithoutTheMarker(t *testing.T) {
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
		if noGroup { // the hazard: nothing shows that it is the installer's
			require.NoError(t, <-done)
			require.True(t, alive(all[2]))
			continue
		}
		select {
		case err := <-done:
			t.Fatalf("the run ended before its last process: %v", err)
		case <-time.After(lingerTimeout):
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
		r.now = func() time.Time { return time.Now().Add(defaultDeadline + time.Minute) }
		s, err := r.Settle(t.Context())
		require.NoError(t, err)
		require.Equal(t, foundEnded, s.Found)
		requireDead(t, all...)
		require.NoDirExists(t, rec.Group)
		requireClean(t, r)
	}
}

// R11: a process that starts another and ends, a hundred times over, is never
// seen in two listings: only the kernel knows that a process is alive.
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

// The updater died after the start and before the number was recorded.
func TestAnUnrecordedInstallerIsFoundByItsMarker(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		dir := t.TempDir()
		mark, on := filepath.Join(dir, "done"), filepath.Join(dir, "on")
		r, _ := orphan(t, "pid="+filepath.Join(dir, "a"), "until="+on, "touch="+mark)
		rec, _, err := r.readRecord()
		require.NoError(t, err)
		rec.PID, rec.Birth, rec.LeavesRunning = 0, "", leaves
		require.NoError(t, r.writeRecord(rec))
		r.Observe = whenSettling(r.Observe, func() { put(t, on) })
		s, err := r.Settle(t.Context())
		require.NoError(t, err)
		require.Equal(t, Finished, s.Found)
		require.FileExists(t, mark)
	}
}

func TestAKilledInstallerIsAFailure(t *testing.T) {
	r, _ := newRunner(t)
	r.Observe = func(e Event) {
		if e.Kind == eventStarted {
			require.NoError(t, syscall.Kill(e.PID, syscall.SIGKILL))
		}
	}
	out, err := r.Run(t.Context(), fake(t, "hang"))
	require.ErrorIs(t, err, ErrFailed)
	require.Equal(t, Failed, out.Status)
	require.EqualValues(t, 137, out.Code)
	require.Contains(t, out.Meaning, "signal 9")
}
