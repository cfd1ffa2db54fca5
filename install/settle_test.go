package install

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"

	"github.com/aspupdate/aspupdate/internal/process"
)

// orphan starts an updater with an installer of the steps, waits until the
// installer runs and is recorded, and kills the updater.
func orphan(t *testing.T, steps ...string) (Runner, *[]Event) {
	t.Helper()
	r, events := newRunner(t)
	f := fake(t)
	cmd := exec.Command(f.Path, append([]string{r.State, f.Path, f.SHA256}, steps...)...)
	cmd.Env = append(BaseEnv(), fakeRole+"=runner")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // it has something to say only if it ends too soon
	require.NoError(t, realtest.Start(cmd))
	require.Eventually(t, func() bool {
		rec, ok, err := r.readRecord()
		return err == nil && ok && rec.PID != 0
	}, time.Minute, 5*time.Millisecond)
	// On Windows the installer is let go just after it was recorded.
	pids(t, steps)
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	return r, events
}

// An updater that is killed while it starts its installer leaves nothing that
// Settle does not find. On Windows a process that was created and not recorded
// would stay suspended and hold the log open forever.
func TestUpdaterKilledWhileItStartsAnInstaller(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process whose creator dies within CreateProcess is at times left by Wine without a thread, and nothing ends it")
	}
	f := fake(t)
	for n := range 40 {
		r := Runner{State: filepath.Join(realtest.TempDir(t), "state")}
		cmd := exec.Command(f.Path, r.State, f.Path, f.SHA256, "sleep=100ms") // so that the record is seen
		cmd.Env = append(BaseEnv(), fakeRole+"=runner")
		require.NoError(t, realtest.Start(cmd))
		require.Eventually(t, func() bool { // the installer is about to start
			_, err := os.Stat(r.recordPath())
			return err == nil
		}, time.Minute, 50*time.Microsecond)
		time.Sleep(time.Duration(n) * time.Millisecond / 4)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_, err := r.Settle(t.Context())
		require.NoError(t, err)
		requireClean(t, r)
	}
}

// whenSettling calls do once a running installer was found.
func whenSettling(observe func(Event), do func()) func(Event) {
	return func(e Event) {
		observe(e)
		if e.Kind == eventSettling {
			do()
		}
	}
}

func TestInstallerOutlivesItsRunnerAndIsFound(t *testing.T) {
	dir := t.TempDir()
	mark, on := filepath.Join(dir, "done"), filepath.Join(dir, "on")
	r, events := orphan(t, "pid="+filepath.Join(dir, "a"), "print=before", "until="+on, "print=after", "complain=still here", "touch="+mark, "exit=42")

	_, err := r.Run(t.Context(), fake(t))
	require.ErrorIs(t, err, ErrUnsettled, "not a second one beside it")
	require.NoFileExists(t, mark)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s, err := r.Settle(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Equal(t, foundRunning, s.Found)

	r.Observe = whenSettling(r.Observe, func() { put(t, on) })
	s, err = r.Settle(t.Context())
	require.NoError(t, err)
	require.Equal(t, Finished, s.Found)
	require.Contains(t, s.Outcome.Next, "query the probe")
	if runtime.GOOS == "windows" {
		require.Equal(t, Failed, s.Outcome.Status)
		require.EqualValues(t, 42, s.Outcome.Code)
	} else {
		require.Equal(t, Unknown, s.Outcome.Status)
	}
	require.FileExists(t, mark)
	require.Contains(t, s.Outcome.Tail, "after", "output goes on without us")
	require.Contains(t, s.Outcome.Tail, "still here")
	require.Equal(t, eventSettling, (*events)[0].Kind)
	requireClean(t, r)

	s, err = r.Settle(t.Context())
	require.NoError(t, err)
	require.Equal(t, Settlement{Found: foundNothing}, s)
	_, err = r.Run(t.Context(), fake(t))
	require.NoError(t, err)
}

func TestSettleEndsWhatIsPastItsDeadline(t *testing.T) {
	dir := t.TempDir()
	steps := trees(dir)["grandchild in a session"]
	r, _ := orphan(t, steps...)
	r.now = func() time.Time { return time.Now().Add(defaultDeadline + time.Minute) }
	s, err := r.Settle(t.Context())
	require.NoError(t, err)
	require.Equal(t, foundEnded, s.Found)
	require.Equal(t, timedOut, s.Outcome.Status)
	requireDead(t, pids(t, steps)...)
	requireClean(t, r)
}

func TestAClockSetBackDoesNotExtendTheDeadline(t *testing.T) {
	dir := t.TempDir()
	steps := trees(dir)["hanging"]
	r, _ := orphan(t, steps...)
	rec, _, err := r.readRecord()
	require.NoError(t, err)
	rec.Deadline = 100 * time.Millisecond
	require.NoError(t, r.writeRecord(rec))
	r.now = func() time.Time { return rec.Started.Add(-24 * time.Hour) }
	s, err := r.Settle(t.Context())
	require.NoError(t, err)
	require.Equal(t, foundEnded, s.Found)
	requireDead(t, pids(t, steps)...)
}

func TestSettleOfADeadInstallerIsUnknown(t *testing.T) {
	dir := t.TempDir()
	on := filepath.Join(dir, "on")
	r, _ := orphan(t, "pid="+filepath.Join(dir, "a"), "until="+on)
	put(t, on)
	pid := awaitPID(t, filepath.Join(dir, "a"))
	rec, _, err := r.readRecord()
	require.NoError(t, err)
	require.Eventually(t, func() bool { // Windows may count a process a moment longer than it lives
		tree, err := process.Find(rec.Record)
		require.NoError(t, err)
		defer tree.Close()
		left, err := tree.Alive()
		return err == nil && !left && !alive(pid)
	}, time.Minute, 5*time.Millisecond)
	s, err := r.Settle(t.Context())
	require.NoError(t, err)
	require.Equal(t, foundGone, s.Found)
	require.Equal(t, Unknown, s.Outcome.Status)
	requireClean(t, r)
}

// A process that has the number by now is left alone.
func TestSettleIgnoresAnotherProcessWithTheNumber(t *testing.T) {
	r, _ := newRunner(t)
	require.NoError(t, os.MkdirAll(r.State, 0o700))
	dir := t.TempDir()
	f := fake(t, "pid="+filepath.Join(dir, "a"), "hang")
	stranger := exec.Command(f.Path, f.Args...)
	stranger.Env = f.Env
	require.NoError(t, realtest.Start(stranger))
	defer func() { _, _ = stranger.Process.Kill(), stranger.Wait() }()
	pid := awaitPID(t, filepath.Join(dir, "a"))
	for _, birth := range []string{"", "nonsense", "another-boot/1", bornEarlier(pid)} {
		for _, leaves := range []bool{false, true} {
			require.NoError(t, r.writeRecord(record{
				Record: process.Record{ID: process.NewRecord().ID, PID: pid, Birth: birth},
				Format: recordFormat, Path: "setup.exe", Started: time.Now().Add(-time.Hour), Deadline: time.Minute, LeavesRunning: leaves,
			}))
			s, err := r.Settle(t.Context())
			require.NoError(t, err)
			require.Equal(t, foundGone, s.Found, birth)
			require.Equal(t, Unknown, s.Outcome.Status)
			require.True(t, alive(pid))
			requireClean(t, r)
		}
	}
}

func TestADamagedOrNewerRecordBlocksAndStays(t *testing.T) {
	for name, text := range map[string]string{
		"damaged": `{"format": 1, "id": "`,
		"newer":   `{"format": 2, "id": "00000000000000000000000000000000"}`,
		"bad id":  `{"format": 1, "id": "../../etc"}`,
	} {
		t.Run(name, func(t *testing.T) {
			r, _ := newRunner(t)
			require.NoError(t, os.MkdirAll(r.State, 0o700))
			require.NoError(t, os.WriteFile(r.recordPath(), []byte(text), 0o600))
			_, err := r.Settle(t.Context())
			require.Error(t, err)
			_, err = r.Run(t.Context(), fake(t))
			require.Error(t, err)
			got, err := os.ReadFile(r.recordPath())
			require.NoError(t, err)
			require.Equal(t, text, string(got))
		})
	}
}

func TestCopiesOfACrashBeforeTheRecordAreRemoved(t *testing.T) {
	r, _ := newRunner(t)
	left := filepath.Join(r.State, privatePrefix+process.NewRecord().ID)
	require.NoError(t, os.MkdirAll(left, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(left, "setup.exe"), []byte("x"), 0o500))
	_, err := r.Run(t.Context(), fake(t))
	require.NoError(t, err)
	require.NoDirExists(t, left)
}
