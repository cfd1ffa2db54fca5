package install

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// bornEarlier is the birth of a process that had the number before.
func bornEarlier(pid int) string {
	p, _ := readProcess(pid)
	return bootID() + "/" + strconv.FormatUint(p.start-1, 10)
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

// What was known by its parent alone counts until it has ended, even if the
// parent ends first.
func TestTheEndWaitsForWhatItHasSeen(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "a")
	f := fake(t, "pid="+mark, "hang")
	cmd := exec.Command(f.Path, f.Args...)
	cmd.Env = f.Env
	require.NoError(t, cmd.Start())
	p, err := readProcess(awaitPID(t, mark))
	require.NoError(t, err)
	known := process{pid: p.pid, start: p.start}
	other := process{pid: p.pid, start: p.start - 1} // whoever had the number before
	require.Equal(t, []process{known}, withSeen([]process{p}, nil))
	require.Equal(t, []process{known}, withSeen(nil, map[process]bool{known: true, other: true}))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Empty(t, withSeen(nil, map[process]bool{known: true}))
}

func TestAKilledInstallerIsAFailure(t *testing.T) {
	r, _ := newRunner(t)
	r.Observe = func(e Event) {
		if e.Kind == EventStarted {
			require.NoError(t, syscall.Kill(e.PID, syscall.SIGKILL))
		}
	}
	out, err := r.Run(t.Context(), fake(t, "hang"))
	require.ErrorIs(t, err, ErrFailed)
	require.Equal(t, Failed, out.Status)
	require.EqualValues(t, 137, out.Code)
	require.Contains(t, out.Meaning, "signal 9")
}

func TestParseStat(t *testing.T) {
	const tail = " 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9"
	for _, c := range []struct {
		in  string
		err error
	}{
		{"12 (sh) S" + tail, nil},
		{"12 (a) R 9 (b) c) S" + tail, nil},
		{"12 (sh) Z" + tail, errDead},
	} {
		p, err := parseStat(12, []byte(c.in))
		require.Equal(t, c.err, err, c.in)
		require.Equal(t, process{pid: 12, parent: 1, session: 7, start: 4242}, p, c.in)
	}
	for _, in := range []string{"", "12", "12 (sh)", "12 (sh) S 1 2", "12 (sh) S x 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242"} {
		_, err := parseStat(12, []byte(in))
		require.Error(t, err, in)
		require.NotErrorIs(t, err, errDead)
	}
	self, err := readProcess(os.Getpid())
	require.NoError(t, err)
	require.Equal(t, os.Getppid(), self.parent)
	require.Positive(t, self.start)
}

func TestARecordFromBeforeARestartMatchesNothing(t *testing.T) {
	parent, err := readProcess(os.Getppid())
	require.NoError(t, err)
	for boot, want := range map[string]int{bootID(): 1, "another": 0} {
		found, err := find(record{ID: newID(), PID: parent.pid, Birth: boot + "/" + strconv.FormatUint(parent.start, 10)})
		require.NoError(t, err)
		n, err := found.countRoot()
		require.NoError(t, err)
		require.Equal(t, want, n, boot)
	}
}
