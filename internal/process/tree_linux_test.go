package process

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

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

// A crash may come after a start command was started and before that was recorded. What such a
// command leaves behind is the application: it is not waited for, and not ended when the
// time of the command is up. The command itself is.
func TestAStartCommandThatIsNotRecordedIsKnownByItsCommandLine(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "start.sh")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\n(sleep 600; :) &\nread line\n"), 0o700))
	for name, argv := range map[string][]string{
		"a script":                    {script, "--now", ""},
		"a program":                   {"/bin/sh", "-c", "(sleep 600; :) & read line", "start"},
		"a script named without path": {"start.sh"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(argv[0], argv[1:]...)
			if argv[0] == "start.sh" {
				cmd.Path, cmd.Err = script, nil
			}
			in, hold, err := os.Pipe()
			require.NoError(t, err)
			defer func() { _ = in.Close() }()
			cmd.Stdin = in
			e := entry{Record: NewRecord(), Program: cmd.Path, Started: time.Now(), Until: time.Now().Add(time.Hour)}
			e.Line = e.line(cmd.Args)
			b, err := openEntry(t.TempDir(), e)
			require.NoError(t, err)
			tree, err := Start(cmd, e.Record, func(Record) error { return b.save(e.Record) }) // never with the number
			require.NoError(t, err)
			defer func() { require.NoError(t, tree.End()) }()
			require.NoError(t, b.lock.Unlock())
			two := func() bool { n, err := tree.count(); return err == nil && n == 3 }
			require.Eventually(t, two, 10*time.Second, 5*time.Millisecond)

			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err = Settle(ctx, filepath.Dir(b.path))
			require.ErrorIs(t, err, context.DeadlineExceeded, "it is waited for")
			found, err := Find(e.Record)
			require.NoError(t, err)
			defer found.Close()
			const short = 50 * time.Millisecond
			err = b.awaitStart(ctx, found, short)
			require.ErrorIs(t, err, context.DeadlineExceeded, "also after the time in which it may be called anything")
			b.entry.Until = time.Now()
			require.NoError(t, b.awaitStart(t.Context(), found, short), "but not longer than it may take")
			b.entry.Until = time.Now().Add(time.Hour)
			alive, err := found.RootAlive()
			require.NoError(t, err)
			require.True(t, alive, "and it is not ended")
			require.NoError(t, hold.Close())
			begun := time.Now()
			require.NoError(t, b.awaitStart(t.Context(), found, short))
			require.GreaterOrEqual(t, time.Since(begun), short, "what is left may be the command itself")
			left := func() bool { n, err := tree.count(); return err == nil && n == 2 }
			require.Eventually(t, left, 10*time.Second, 5*time.Millisecond, "what it has started lives on, also the part that has its command line")
		})
	}
}
