package process

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// What was known by its parent alone counts until it has ended, even if the
// parent ends first.
func TestEndWaitsForProcessesSeenBefore(t *testing.T) {
	cmd := exec.Command("/bin/sleep", "60")
	require.NoError(t, cmd.Start())
	p, err := readProc(cmd.Process.Pid)
	require.NoError(t, err)
	known := proc{pid: p.pid, start: p.start}
	other := proc{pid: p.pid, start: p.start - 1} // one that had the number before
	require.Equal(t, []proc{known}, withSeen([]proc{p}, nil))
	require.Equal(t, []proc{known}, withSeen(nil, map[proc]bool{known: true, other: true}))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Empty(t, withSeen(nil, map[proc]bool{known: true}))
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
		require.Equal(t, proc{pid: 12, parent: 1, session: 7, start: 4242, work: 5 + 6 + 7 + 8}, p, c.in)
	}
	for _, in := range []string{"", "12", "12 (sh)", "12 (sh) S 1 2", "12 (sh) S x 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242"} {
		_, err := parseStat(12, []byte(in))
		require.Error(t, err, in)
		require.NotErrorIs(t, err, errDead)
	}
	self, err := readProc(os.Getpid())
	require.NoError(t, err)
	require.Equal(t, os.Getppid(), self.parent)
	require.Positive(t, self.start)
}

func TestARecordFromBeforeARestartMatchesNothing(t *testing.T) {
	parent, err := readProc(os.Getppid())
	require.NoError(t, err)
	for boot, want := range map[string]bool{bootID(): true, "another": false} {
		rec := NewRecord()
		rec.PID, rec.Birth = parent.pid, boot+"/"+strconv.FormatUint(parent.start, 10)
		found, err := Find(rec)
		require.NoError(t, err)
		alive, err := found.RootAlive()
		require.NoError(t, err)
		require.Equal(t, want, alive, boot)
	}
}
