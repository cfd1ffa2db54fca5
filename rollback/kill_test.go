package rollback_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/rollback"
)

// The test binary runs itself as an updater that is killed, and as a process
// that holds the lock.
func TestMain(m *testing.M) {
	switch os.Getenv("ROLLBACK_TEST_AS") {
	case "":
		os.Exit(m.Run())
	case "updater":
		updater()
	case "holder":
		holder()
	case "child":
		child()
	case "rotator":
		rotator()
	case "traced":
		traced()
	case "idle":
		idle()
	case "folder":
		folderUpdater()
	case "setup":
		setup()
	}
	os.Exit(0)
}

// updater updates or recovers the world in its folder, and kills itself at
// the moment it was told.
func updater() {
	moment, _ := strconv.Atoi(os.Getenv("ROLLBACK_TEST_MOMENT"))
	serial.Store(int64(os.Getpid()) << 20) // its snapshots are not those that are there
	w := &world{root: os.Getenv("ROLLBACK_TEST_WORLD"), parts: []string{"ASP", "Опека"}, boot: "boot-1"}
	u := w.update()
	if os.Getenv("ROLLBACK_TEST_REVERT") != "" {
		u = w.backwards()
	}
	d, decides := decisions[os.Getenv("ROLLBACK_TEST_DECIDE")]
	if decides {
		w.parts = []string{"ASP"}
		u = d.update(w)
	}
	u.Parallel, _ = strconv.Atoi(os.Getenv("ROLLBACK_TEST_PARALLEL"))
	crowd := os.Getenv("ROLLBACK_TEST_GO") != "" // of which one is killed
	var mu sync.Mutex
	kill := func() {
		mu.Lock()
		defer mu.Unlock()
		if moment--; moment == 0 && (!crowd || os.Mkdir(w.path("killed"), 0o700) == nil) {
			me, _ := os.FindProcess(os.Getpid())
			_ = me.Kill() // SIGKILL; no deferred call runs
			select {}
		}
	}
	w.fault = func(call string) error {
		if crowd {
			w.trace(call)
		}
		kill()
		return nil
	}
	u.Observe = func(rollback.Event) { kill() }
	ctx := context.Background()
	for crowd && w.read("go") == "" {
		time.Sleep(time.Millisecond)
	}
	if os.Getenv("ROLLBACK_TEST_RECOVER") != "" {
		_, _ = u.Recover(ctx)
		return
	}
	if decides {
		_ = d.decide(ctx, u)
		return
	}
	if os.Getenv("ROLLBACK_TEST_REVERT") != "" {
		if plan, err := u.PlanRevert(ctx); err == nil {
			_, _ = u.Revert(ctx, plan.Hash, "a test")
		}
		return
	}
	if plan, err := u.Plan(ctx); err == nil {
		_, _ = u.Run(ctx, plan)
	}
}

// trace notes which process calls what, but for looking, which needs no lock.
func (w *world) trace(call string) {
	if strings.HasPrefix(call, "ready ") {
		return
	}
	f, err := os.OpenFile(w.path("trace"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	_, err = fmt.Fprintln(f, os.Getpid(), call)
	if err := errors.Join(err, f.Close()); err != nil {
		panic(err)
	}
}

// TestManyStartersOneRuns starts several processes at the same moment, and
// kills the one that runs, or none: one runs, and another one only after it.
func TestManyStartersOneRuns(t *testing.T) {
	t.Parallel()
	for _, moment := range []int{0, 12, 30, 45} {
		w := newWorld(t, "ASP", "Опека")
		var starters []*exec.Cmd
		for range 5 {
			cmd := as("updater", "ROLLBACK_TEST_WORLD="+w.root, "ROLLBACK_TEST_GO=1", "ROLLBACK_TEST_MOMENT="+strconv.Itoa(moment))
			require.NoError(t, realtest.Start(cmd))
			starters = append(starters, cmd)
		}
		w.write(t, "go", "now")
		killed := 0
		for _, cmd := range starters {
			if cmd.Wait() != nil {
				killed++
			}
		}
		require.Equal(t, moment > 0, killed == 1)
		var pids []string // in the order of their work
		installs := 0
		for line := range strings.Lines(w.read("trace")) {
			pid, call, _ := strings.Cut(strings.TrimSpace(line), " ")
			if len(pids) == 0 || pids[len(pids)-1] != pid {
				require.NotContains(t, pids, pid, "nobody works while another one does")
				pids = append(pids, pid)
			}
			if call == "install ASP "+newVersion {
				installs++
			}
		}
		if killed == 0 {
			require.Len(t, pids, 1, "exactly one runs")
			require.Equal(t, newVersion, w.consistent(t))
		}
		require.LessOrEqual(t, installs, 2, "once, and once again where the first one was killed early")
		recovered(t, w)
	}
}

func as(role string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, "ROLLBACK_TEST_AS="+role)...)
	return cmd
}

// TestKilledProcess kills a real process at moments all over an update, and
// the process that recovers from it once more.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	killed := 0
	for moment := 5; ; moment += 7 {
		w := newWorld(t, "ASP", "Опека")
		w.write(t, "archive.Опека."+newVersion, []string{"good", "bad"}[moment%2])
		env := []string{"ROLLBACK_TEST_WORLD=" + w.root, "ROLLBACK_TEST_PARALLEL=" + strconv.Itoa(1+moment/14%2)}
		err := as("updater", append(env, "ROLLBACK_TEST_MOMENT="+strconv.Itoa(moment))...).Run()
		if err == nil {
			break // it ended before that moment
		}
		require.NotContains(t, err.Error(), "exit status 2", "it was killed and did not panic")
		killed++
		_ = as("updater", append(env, "ROLLBACK_TEST_RECOVER=1", "ROLLBACK_TEST_MOMENT="+strconv.Itoa(moment/2+1))...).Run()
		recovered(t, w)
	}
	require.Greater(t, killed, 8)
}

// holder takes the lock of its folder, starts a child that outlives it, says
// so, and waits to be killed.
func holder() {
	l, err := rollback.Acquire(os.Getenv("ROLLBACK_TEST_WORLD"), "holding", testTime)
	if err != nil {
		os.Exit(3)
	}
	child := as("child")
	child.Stdin = os.Stdin
	if err := realtest.Start(child); err != nil {
		panic(err)
	}
	for (&world{root: os.Getenv("ROLLBACK_TEST_WORLD")}).read("child") == "" {
		time.Sleep(time.Millisecond)
	}
	_, _ = os.Stdout.WriteString("held\n")
	for l.Check() == nil {
		time.Sleep(time.Hour)
	}
}

// child lives until its input ends, and a file with it.
func child() {
	w := &world{root: os.Getenv("ROLLBACK_TEST_WORLD")}
	if err := w.put("child", "lives"); err != nil {
		panic(err)
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = os.Remove(w.path("child"))
}

func TestLockIsTheKernels(t *testing.T) {
	dir := realtest.TempDir(t)
	cmd := as("holder", "ROLLBACK_TEST_WORLD="+dir)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := make([]byte, 5)
	_, err = out.Read(said)
	require.NoError(t, err)
	require.Equal(t, "held\n", string(said))

	_, err = rollback.Acquire(dir, "trying", testTime)
	require.ErrorIs(t, err, rollback.ErrBusy)
	require.ErrorContains(t, err, fmt.Sprintf("process %d on ", cmd.Process.Pid), "the loser learns who holds it")
	require.ErrorContains(t, err, "holding since "+testTime.Format("2006-01-02"))
	holder, err := rollback.LockHolder(dir)
	require.NoError(t, err)
	require.Equal(t, cmd.Process.Pid, holder.PID)
	require.Equal(t, "holding", holder.Doing)

	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Process.Release() // waiting would end the child's input
	l, err := rollback.Acquire(dir, "after its death", testTime)
	require.NoError(t, err, "the death of its holder frees it, stale files or not")
	child := filepath.Join(dir, "child")
	require.FileExists(t, child, "and a program that it started does not keep it")
	require.NoError(t, in.Close())
	require.Eventually(t, func() bool { _, err := os.Stat(child); return err != nil }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, l.Check())
	require.NoError(t, l.Release())
	holder, err = rollback.LockHolder(dir)
	require.NoError(t, err)
	require.Nil(t, holder, "whatever its files say")
	holder, err = rollback.LockHolder(t.TempDir())
	require.NoError(t, err)
	require.Nil(t, holder, "nobody was there yet")
}

// A lock whose holder was killed while it started a program belongs to that
// program for a moment: another process gets it all the same.
func TestLockThatIsGivenUpInAMomentIsTaken(t *testing.T) {
	dir := realtest.TempDir(t)
	synctest.Test(t, func(t *testing.T) {
		l, err := rollback.Acquire(dir, "holding", testTime)
		require.NoError(t, err)
		released := make(chan error, 1)
		go func() {
			time.Sleep(50 * time.Millisecond)
			released <- l.Release()
		}()
		second, err := rollback.Acquire(dir, "trying", testTime)
		require.NoError(t, err)
		require.NoError(t, <-released)
		require.NoError(t, second.Release())
	})
}

// TestSecondStarterIsBusy starts an update while another holds the lock:
// nothing is called and nothing is written.
func TestSecondStarterIsBusy(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(u.Dir, 0o700))
	l, err := rollback.Acquire(u.Dir, "elsewhere", testTime)
	require.NoError(t, err)
	w.calls = nil
	_, err = u.Run(t.Context(), plan)
	require.ErrorIs(t, err, rollback.ErrBusy)
	_, err = u.Recover(t.Context())
	require.ErrorIs(t, err, rollback.ErrBusy)
	require.Empty(t, w.calls)
	_, err = os.Stat(filepath.Join(u.Dir, "journal.log"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, l.Release())
	_, err = u.Run(t.Context(), plan)
	require.NoError(t, err)
}

// TestJournalIsReadable looks at what a person may read: plain text, with
// the plan, the person and the outcome in it.
func TestJournalIsReadable(t *testing.T) {
	w := newWorld(t, "ASP")
	_, err := w.run(t)
	require.NoError(t, err)
	b, err := os.ReadFile(filepath.Join(w.path("state"), "journal.log"))
	require.NoError(t, err)
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	require.Contains(t, string(lines[1]), `"who":"tester"`)
	require.Contains(t, string(lines[1]), newVersion)
	require.True(t, strings.HasPrefix(string(lines[len(lines)-1]), "0000"), "a sequence number first")
	require.Contains(t, string(lines[len(lines)-1]), `"step":"end"`)
}
