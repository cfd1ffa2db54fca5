package rollback_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

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
	case "rotator":
		rotator()
	case "traced":
		traced()
	}
	os.Exit(0)
}

// updater updates or recovers the world in its folder, and kills itself at
// the moment it was told.
func updater() {
	moment, _ := strconv.Atoi(os.Getenv("ROLLBACK_TEST_MOMENT"))
	w := &world{root: os.Getenv("ROLLBACK_TEST_WORLD"), parts: []string{"ASP", "Опека"}, boot: "boot-1"}
	u := w.update()
	if os.Getenv("ROLLBACK_TEST_BACK") != "" {
		u = w.backwards()
	}
	kill := func() {
		if moment--; moment == 0 {
			me, _ := os.FindProcess(os.Getpid())
			_ = me.Kill() // SIGKILL; no deferred call runs
			select {}
		}
	}
	w.fault = func(string) error { kill(); return nil }
	u.Observe = func(rollback.Event) { kill() }
	ctx := context.Background()
	if os.Getenv("ROLLBACK_TEST_RECOVER") != "" {
		_, _ = u.Recover(ctx)
		return
	}
	if os.Getenv("ROLLBACK_TEST_BACK") != "" {
		if plan, err := u.PlanBack(ctx); err == nil {
			_, _ = u.RollBack(ctx, plan.Hash, "a test")
		}
		return
	}
	if plan, err := u.Plan(ctx); err == nil {
		_, _ = u.Run(ctx, plan)
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
		env := []string{"ROLLBACK_TEST_WORLD=" + w.root}
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
	_, _ = os.Stdout.WriteString("held\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = l.Release()
}

func TestLockIsTheKernels(t *testing.T) {
	dir := t.TempDir()
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
	busy, ok := errors.AsType[*rollback.BusyError](err)
	require.True(t, ok)
	require.ErrorIs(t, err, rollback.ErrBusy)
	require.Equal(t, cmd.Process.Pid, busy.Holder.PID, "the loser learns who holds it")
	require.Equal(t, "holding", busy.Holder.Doing)
	require.ErrorContains(t, err, testTime.Format("2006-01-02"))

	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	_ = in.Close()
	l, err := rollback.Acquire(dir, "after its death", testTime)
	require.NoError(t, err, "the death of its holder frees it, stale files or not")
	require.NoError(t, l.Check())
	require.NoError(t, l.Release())
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
