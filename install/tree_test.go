package install

import (
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// trees are the ways in which installers leave processes behind. The steps of
// each write their numbers to a, b and c.
func trees(dir string) map[string][]string {
	a, b, c := "pid="+filepath.Join(dir, "a"), "pid="+filepath.Join(dir, "b"), "pid="+filepath.Join(dir, "c")
	return map[string][]string{
		"hanging":                   {a, "hang"},
		"deaf to signals":           {"stubborn", a, "hang"},
		"child and grandchild":      {a, "child=wait", b, "child=wait", c, "hang"},
		"grandchild in a session":   {a, "child=wait", b, "daemon=wait", c, "stubborn", "hang"},
		"parent exits early":        {a, "child=0", b, "hang"},
		"orphan in a session":       {a, "child=0", b, "daemon=0", c, "hang"},
		"forgetful orphan":          {a, "child=0", b, "bare-child=0", c, "hang"},
		"forgetful child's session": {a, "child=wait", b, "bare-daemon=wait", c, "hang"},
	}
}

// pids waits for the processes that the steps announce.
func pids(t *testing.T, steps []string) []int {
	t.Helper()
	var all []int
	for _, s := range steps {
		if len(s) > 4 && s[:4] == "pid=" {
			all = append(all, awaitPID(t, s[4:]))
		}
	}
	require.NotEmpty(t, all, "the steps announce no process")
	return all
}

func TestCancelLeavesNoProcess(t *testing.T) { cancelLeavesNoProcess(t, false) }

func cancelLeavesNoProcess(t *testing.T, noGroup bool) {
	for name := range trees("") {
		t.Run(name, func(t *testing.T) {
			const limit, attempts = time.Second, 3 // a busy machine may hold up one of them
			for n := 1; ; n++ {
				took := cancelOnce(t, trees(t.TempDir())[name], noGroup)
				t.Logf("all had ended after %s", took)
				if took <= limit {
					break
				}
				require.Less(t, n, attempts, "it takes more than %s each time", limit)
			}
		})
	}
}

// cancelOnce runs an installer of the steps, cancels the run once they are
// done, and returns how long it took to end all processes.
func cancelOnce(t *testing.T, steps []string, noGroup bool) time.Duration {
	t.Helper()
	why := errors.New("the operator said so")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	type result struct {
		out Outcome
		err error
	}
	done := make(chan result, 1)
	r, _ := newRunner(t)
	r.noGroup = noGroup
	cmd := fake(t, steps...)
	go func() {
		out, err := r.Run(ctx, cmd)
		done <- result{out, err}
	}()
	all := pids(t, steps)
	begun := time.Now()
	cancel(why)
	res := <-done
	took := time.Since(begun)
	requireDead(t, all...)
	require.ErrorIs(t, res.err, why)
	require.Equal(t, Canceled, res.out.Status)
	requireClean(t, r)
	return took
}

func TestR11DeadlineEndsTheWholeTree(t *testing.T) {
	require.Greater(t, defaultDeadline, 2*time.Hour+4*time.Minute, "the default is above R11's worst case")
	dir := t.TempDir()
	steps := trees(dir)["orphan in a session"]
	r, _ := newRunner(t)
	cmd := fake(t, steps...)
	cmd.Deadline = time.Second
	out, err := r.Run(t.Context(), cmd)
	require.ErrorIs(t, err, ErrTimeout)
	require.ErrorContains(t, err, "did not end within 1s")
	require.Equal(t, timedOut, out.Status)
	begun, err := filepath.Glob(filepath.Join(dir, "?")) // as far as they came on a slow machine
	require.NoError(t, err)
	for _, file := range begun {
		requireDead(t, awaitPID(t, file))
	}
	requireClean(t, r)

	for limit := 3 * time.Second; ; limit *= 4 { // the copy is made within it, too: a busy machine takes longer
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		out, err = r.Run(ctx, fake(t, "hang"))
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		if out.Status != notRun {
			break
		}
		require.Less(t, limit, time.Minute)
	}
	require.ErrorIs(t, err, ErrTimeout)
	require.Equal(t, timedOut, out.Status)
}

func TestARunLastsUntilItsLastProcessEnds(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "done")
	r, events := newRunner(t)
	out, err := r.Run(t.Context(), fake(t, "daemon=0", "sleep=4s", "touch="+mark))
	require.NoError(t, err)
	require.Equal(t, OK, out.Status)
	require.FileExists(t, mark)
	require.Equal(t, eventLingering, (*events)[2].Kind, "what is waited for is reported")
}

func TestLeavesRunningLetsProcessesLiveOn(t *testing.T) {
	dir := t.TempDir()
	cmd := fake(t, "daemon=0", "pid="+filepath.Join(dir, "app"), "hang")
	cmd.LeavesRunning = true
	r, _ := newRunner(t)
	out, err := r.Run(t.Context(), cmd)
	require.NoError(t, err)
	require.Equal(t, OK, out.Status)
	pid := awaitPID(t, filepath.Join(dir, "app"))
	require.True(t, alive(pid))
	s, err := r.Settle(t.Context())
	require.NoError(t, err)
	require.Equal(t, foundNothing, s.Found)
	require.True(t, alive(pid))
}

// The hazard that trees exist for (M): what os/exec kills is one process.
func TestKillingTheRootAloneLeavesTheRest(t *testing.T) {
	for name := range trees("") {
		t.Run(name, func(t *testing.T) {
			steps := trees(t.TempDir())[name]
			f := fake(t, steps...)
			cmd := exec.Command(f.Path, f.Args...)
			cmd.Env = f.Env
			require.NoError(t, realtest.Start(cmd))
			all := pids(t, steps)  // and ends them when the test is over
			_ = cmd.Process.Kill() // one that exits early may have ended
			_ = cmd.Wait()
			require.False(t, alive(all[0]))
			if len(all) > 1 {
				require.True(t, alive(all[len(all)-1]))
			}
		})
	}
}
