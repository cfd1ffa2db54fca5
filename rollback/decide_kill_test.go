package rollback_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// A decision is a person's, about a machine on which users have entered a row that no
// snapshot has.
type decision struct {
	start  func(t *testing.T) *world
	decide func(ctx context.Context, u *rollback.Update) error
	// ended fails unless the decision was carried out, and nothing is lost.
	ended func(t *testing.T, w *world)
	// silent is a fence that cannot be asked.
	silent bool
}

var retrying = decision{
	start: func(t *testing.T) *world { return repaired(t, newVersion) },
	decide: func(ctx context.Context, u *rollback.Update) error {
		_, err := u.Retry(ctx, "the disk is replaced")
		return err
	},
	ended: func(t *testing.T, w *world) {
		w.stands(t, oldVersion, oldRows)
		st := w.status(t)
		require.Equal(t, rollback.RolledBack, st.Last)
		var kept []string
		for _, aside := range st.Aside {
			kept = append(kept, w.read(aside.Refs["ASP"]))
			require.Contains(t, st.Needed(), aside.Refs["ASP"], "it is not pruned")
		}
		require.Contains(t, kept, "schema "+newVersion+"\n"+newRows, "what was restored over is kept")
	},
}

var decisions = map[string]decision{
	"retry":                             retrying,
	"retry with a fence that is silent": {retrying.start, retrying.decide, retrying.ended, true},
	"accept the support's hotfix":       accepting(hotfix, rollback.Committed),
	"accept the new version":            accepting(newVersion, rollback.Committed),
	"accept the previous version":       accepting(oldVersion, rollback.RolledBack),
	"open with nothing pending": {
		start: func(t *testing.T) *world {
			w := committedWorld(t, "ASP")
			w.write(t, "fence", "closed for nothing")
			return w
		},
		decide: opened,
		ended:  func(t *testing.T, w *world) { w.stands(t, newVersion, newRows) },
	},
	"open after the commit": {
		start: func(t *testing.T) *world {
			w := newWorld(t, "ASP")
			w.crashingAt("fence.open")
			require.True(t, crashing(func() { _, _ = w.run(t) }))
			w.fault = nil
			w.enter(t, newVersion, newRows)
			return w
		},
		decide: opened,
		ended: func(t *testing.T, w *world) {
			w.stands(t, newVersion, newRows)
			require.Equal(t, rollback.Committed, w.status(t).Last)
		},
	},
}

// repaired waits for a person, and the support has put a version in place by hand. Users
// have worked since.
func repaired(t *testing.T, version string) *world {
	w := stuckWorld(t)
	w.write(t, "archive.ASP."+version, "good")
	w.write(t, "fence", "")
	w.write(t, "app.ASP", version)
	require.NoError(t, w.put("running", "yes"))
	w.enter(t, version, newRows)
	return w
}

func accepting(version string, outcome rollback.Outcome) decision {
	r := rollback.Release{Version: rollback.Version(version), SHA256: map[string]string{oldVersion: "old", newVersion: "new", hotfix: "fix"}[version]}
	return decision{
		start: func(t *testing.T) *world { return repaired(t, version) },
		decide: func(ctx context.Context, u *rollback.Update) error {
			_, err := u.Accept(ctx, "with the support", map[string]rollback.Release{"ASP": r})
			return err
		},
		ended: func(t *testing.T, w *world) {
			w.stands(t, version, newRows)
			st := w.status(t)
			require.Equal(t, outcome, st.Last)
			require.Equal(t, r.SHA256, st.Committed["ASP"].SHA256, "what is installed is committed")
		},
	}
}

func opened(ctx context.Context, u *rollback.Update) error {
	_, err := u.Open(ctx, "a test")
	return err
}

// update is that of a machine about which the person decides.
func (d decision) update(w *world) *rollback.Update {
	u := w.update()
	if !d.silent {
		u.Fence = asked{fence{w}}
	}
	return u
}

// settled recovers from a decision that was cut short. Where a person must decide still, and
// where users are out with nothing pending, the same decision leads out.
func (d decision) settled(t *testing.T, w *world) {
	t.Helper()
	w.fault = nil
	w.intact(t)
	_, err := d.update(w).Recover(t.Context())
	if errors.Is(err, rollback.ErrNeedsOperator) || err == nil && w.fenced() {
		require.NoError(t, w.undecided(), "nothing but looking was done")
		err = d.decide(t.Context(), d.update(w))
	}
	require.NoError(t, err)
	require.Nil(t, w.status(t).Pending)
	d.ended(t, w)
}

// undecided fails unless the row that users entered is where they did.
func (w *world) undecided() error {
	if w.read("data.ASP") == "schema "+w.read("app.ASP")+"\n"+newRows {
		return nil
	}
	return errors.New("the live data is " + w.read("data.ASP"))
}

// TestCrashAtEveryMomentOfADecision cuts the power at every journal record and on both
// sides of every role call of what a person decides, and again in the recovery from each: at
// every twelfth moment of that, or at every one where ASPUPDATE_SOAK=1 asks for it.
func TestCrashAtEveryMomentOfADecision(t *testing.T) {
	t.Parallel()
	every := 12
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		every = 1
	}
	for name, d := range decisions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start, total := d.start(t), 0
			for n := 1; ; n += stride() {
				w := start.clone(t)
				u := d.update(w)
				crashAt(w, u, n)
				if !crashing(func() { _ = d.decide(t.Context(), u) }) {
					d.settled(t, w)
					break
				}
				total++
				again := w.clone(t)
				d.settled(t, w)
				for m := 1 + n%every; ; m += every { // the recovery is cut short too
					w := again.clone(t)
					u := d.update(w)
					crashAt(w, u, m)
					if !crashing(func() { _, _ = u.Recover(t.Context()) }) {
						break
					}
					d.settled(t, w)
				}
			}
			t.Logf("%d moments", total)
			require.GreaterOrEqual(t, total, 3/stride())
		})
	}
}

// TestKilledDecision kills a real process in what a person decides, and the process that
// recovers from it once more: at some moments, or at every one where ASPUPDATE_SOAK=1 asks
// for it.
func TestKilledDecision(t *testing.T) {
	t.Parallel()
	every := 5
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		every = 1
	}
	killed := 0
	for _, name := range slices.Sorted(maps.Keys(decisions)) {
		d := decisions[name]
		start := d.start(t)
		for moment := 1; ; moment += every {
			w := start.clone(t)
			env := []string{"ROLLBACK_TEST_WORLD=" + w.root, "ROLLBACK_TEST_DECIDE=" + name}
			err := as("updater", append(env, "ROLLBACK_TEST_MOMENT="+strconv.Itoa(moment))...).Run()
			if err == nil {
				d.settled(t, w)
				break // it ended before that moment
			}
			require.NotContains(t, err.Error(), "exit status 2", "it was killed and did not panic")
			killed++
			_ = as("updater", append(env, "ROLLBACK_TEST_RECOVER=1", "ROLLBACK_TEST_MOMENT="+strconv.Itoa(moment/2+1))...).Run()
			d.settled(t, w)
		}
	}
	t.Logf("%d kills", killed)
	require.Greater(t, killed, len(decisions))
}
