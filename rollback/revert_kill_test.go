package rollback_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// kept fails unless everything that either way needs is still there: both
// Setups, the snapshots of then, and, once something is damaged, those of
// today.
func (w *world) kept(t testing.TB) {
	t.Helper()
	st := w.status(t)
	for _, p := range w.parts {
		require.NotEmpty(t, w.read("archive."+p+"."+oldVersion))
		require.NotEmpty(t, w.read("archive."+p+"."+newVersion))
		if u := st.Pending; u != nil && u.Plan.Revert != nil && u.Damaged {
			require.Equal(t, "schema "+newVersion+"\n"+newRows, w.read(u.References()[p]))
			require.Equal(t, "schema "+oldVersion+"\n"+oldRows, w.read(u.Plan.Revert.Refs[p]))
			require.Subset(t, st.Needed(), []string{u.References()[p], u.Plan.Revert.Refs[p]})
		}
	}
}

// recoveredBack brings a rollback that crashed to its end and returns the
// version that is installed: the old one with the old data, or today's with
// today's.
func recoveredBack(t *testing.T, w *world) string {
	t.Helper()
	w.fault = nil
	u := w.backwards()
	res, err := u.Recover(t.Context())
	w.kept(t)
	if errors.Is(err, rollback.ErrNeedsOperator) {
		require.True(t, w.fenced())
		res, err = u.Retry(t.Context(), "the power is back")
	}
	require.NoError(t, err)
	require.NotEqual(t, rollback.NeedsOperator, res.Outcome)
	st := w.status(t)
	require.Nil(t, st.Pending)
	v := w.read("app.ASP")
	if v == newVersion {
		w.stands(t, newVersion, newRows)
		return v
	}
	w.stands(t, oldVersion, oldRows)
	require.Equal(t, oldVersion, string(st.Committed["ASP"].Version))
	require.True(t, slices.ContainsFunc(st.Aside, func(p rollback.RestorePoint) bool { return w.read(p.Refs["ASP"]) == "schema "+newVersion+"\n"+newRows }), "today's state is kept aside")
	require.True(t, slices.ContainsFunc(st.Quarantined, func(q rollback.Quarantine) bool { return q.Release.Version == newVersion }))
	return v
}

// TestR15CrashAtEveryMomentOfARevert cuts the power at every journal
// record and on both sides of every role call, on Windows at some: [stride].
func TestR15CrashAtEveryMomentOfARevert(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"good", "bad"} {
		start := committedWorld(t, map[string][]string{"good": {"ASP", "Опека"}, "bad": {"ASP"}}[kind]...)
		seen := map[string]int{}
		damaged := 0
		for n := 1; ; n += stride() {
			w := start.clone(t)
			w.write(t, "archive."+w.parts[len(w.parts)-1]+"."+oldVersion, kind)
			u := w.backwards()
			plan, err := u.PlanRevert(t.Context())
			require.NoError(t, err)
			crashAt(w, u, n)
			if !crashing(func() { _, _ = u.Revert(t.Context(), plan.Hash, "a test") }) {
				break
			}
			p := w.status(t).Pending
			v := recoveredBack(t, w)
			seen[v]++
			if p != nil && p.Damaged && p.Direction == rollback.Forward && kind == "good" {
				damaged++
				require.Equal(t, oldVersion, v, "what a person decided is gone on with")
			}
		}
		t.Logf("%s old Setup: %v, %d after the first damage", kind, seen, damaged)
		require.Greater(t, seen[oldVersion]+seen[newVersion], 50/stride())
		require.Positive(t, seen[newVersion])
		require.Equal(t, kind == "good", seen[oldVersion] > 0)
	}
}

func TestR15FaultInEveryRoleCallOfARevert(t *testing.T) {
	t.Parallel()
	start := committedWorld(t, "ASP")
	for _, forEver := range []bool{false, true} {
		for _, kind := range []string{"good", "bad"} {
			for n := 1; ; n += stride() {
				w := start.clone(t)
				w.write(t, "archive.ASP."+oldVersion, kind)
				u := w.backwards()
				plan, err := u.PlanRevert(t.Context())
				require.NoError(t, err)
				count, hit := 0, false
				w.fault = func(call string) error {
					if count++; count == n || forEver && count > n {
						hit = true
						return fmt.Errorf("fault %d at %s", n, call)
					}
					return nil
				}
				res, err := u.Revert(t.Context(), plan.Hash, "a test")
				if !hit {
					break
				}
				w.fault = nil
				w.kept(t)
				switch res.Outcome {
				case rollback.Committed:
					w.stands(t, oldVersion, oldRows)
				case rollback.RolledBack, rollback.Abandoned:
					require.Error(t, err)
					w.stands(t, newVersion, newRows)
				case rollback.Nothing:
					require.ErrorIs(t, err, rollback.ErrRefused)
					w.stands(t, newVersion, newRows)
				case rollback.NeedsOperator, rollback.Interrupted:
					require.Error(t, err)
					recoveredBack(t, w)
				default:
					t.Fatalf("outcome %q", res.Outcome)
				}
			}
		}
	}
}

func TestR15RandomCrashesOfARevertUntilTheEnd(t *testing.T) {
	t.Parallel()
	start := committedWorld(t, "ASP")
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 60 / stride() {
		w := start.clone(t)
		w.write(t, "archive.ASP."+oldVersion, []string{"good", "bad"}[rnd.IntN(2)])
		u := w.backwards()
		plan, err := u.PlanRevert(t.Context())
		require.NoError(t, err)
		crashAt(w, u, 1+rnd.IntN(50))
		crashed := crashing(func() { _, _ = u.Revert(t.Context(), plan.Hash, "a test") })
		for crashed && rnd.IntN(4) > 0 {
			u = w.backwards()
			crashAt(w, u, 1+rnd.IntN(25))
			crashed = crashing(func() { _, _ = u.Recover(t.Context()) })
		}
		recoveredBack(t, w)
	}
}

// An installer cut short may have changed its data half: it is restored anew,
// whatever was installed before it.
func TestR15RevertCutShortInAnInstallerRestoresAgain(t *testing.T) {
	w := committedWorld(t, "ASP", "Опека")
	w.crashingAt("install Опека " + oldVersion + " half")
	require.True(t, crashing(func() { _, _ = revert(t, w.backwards()) }))
	w.fault, w.calls = nil, nil
	res, err := w.backwards().Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Equal(t, []string{
		"settle ASP", "settle Опека", "fence.close", "app.stop",
		"snapshot ASP", "verify ASP", "snapshot Опека", "verify Опека", // the fence cannot be asked whether it stayed closed
		"restore ASP", "restore Опека", "install ASP " + oldVersion, "install Опека " + oldVersion, "app.start",
		"await " + oldVersion, "await " + oldVersion, "fence.open",
	}, w.calls)
	w.stands(t, oldVersion, oldRows)
}

// A crash loop ends in a visible state, and a person's retry goes on.
func TestR15CrashLoopOfARevertEndsInAVisibleState(t *testing.T) {
	w := committedWorld(t, "ASP")
	u := w.backwards()
	plan, err := u.PlanRevert(t.Context())
	require.NoError(t, err)
	w.crashingAt("install ASP " + oldVersion + " half")
	require.True(t, crashing(func() { _, _ = u.Revert(t.Context(), plan.Hash, "a test") }))
	crashes := 0
	for crashing(func() { _, err = w.backwards().Recover(t.Context()) }) {
		crashes++
		require.Less(t, crashes, 10, "the loop must end")
	}
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.Equal(t, 3, crashes)
	require.True(t, w.fenced())
	w.kept(t)
	_, err = w.backwards().PlanRevert(t.Context())
	requireRefusal(t, err, rollback.ReasonState)
	w.fault = nil
	res, err := w.backwards().Retry(t.Context(), "memory replaced")
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	w.stands(t, oldVersion, oldRows)
}

// TestR15KilledRevert kills a real process all over a rollback, and the
// process that recovers from it once more: at every seventh moment, or at
// every one where ASPUPDATE_SOAK=1 asks for it.
func TestR15KilledRevert(t *testing.T) {
	t.Parallel()
	start := committedWorld(t, "ASP", "Опека")
	killed, first, every := 0, 30, 7
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		first, every = 1, 1
	}
	for moment := first; ; moment += every {
		w := start.clone(t)
		w.write(t, "archive.Опека."+oldVersion, []string{"good", "bad"}[moment%2])
		env := []string{"ROLLBACK_TEST_REVERT=1", "ROLLBACK_TEST_WORLD=" + w.root}
		err := as("updater", append(env, "ROLLBACK_TEST_MOMENT="+strconv.Itoa(moment))...).Run()
		if err == nil {
			break // it ended before that moment
		}
		require.NotContains(t, err.Error(), "exit status 2", "it was killed and did not panic")
		killed++
		_ = as("updater", append(env, "ROLLBACK_TEST_RECOVER=1", "ROLLBACK_TEST_MOMENT="+strconv.Itoa(moment/3+1))...).Run()
		recoveredBack(t, w)
	}
	t.Logf("%d kills", killed)
	require.Greater(t, killed, 5)
}
