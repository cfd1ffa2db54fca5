package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// crash is what a test panics with in the place of a power cut. Everything
// on the disk stays as it is; the deferred closing of lock and journal does
// nothing that the kernel would not do.
type crash struct{}

// crashing runs f and reports whether it crashed.
func crashing(f func()) (crashed bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(crash); !ok {
				panic(r)
			}
			crashed = true
		}
	}()
	f()
	return false
}

// crashAt makes the world crash at the n-th moment, counted over journal
// records and over both sides of every role call. It returns the counter.
func crashAt(w *world, u *rollback.Update, n int) *int {
	moment := new(int)
	tick := func() {
		*moment++
		if *moment == n {
			panic(crash{})
		}
	}
	w.fault = func(string) error { tick(); return nil }
	u.Observe = func(rollback.Event) { tick() }
	return moment
}

// recovered asserts that the machine is in order, or that it asks for a
// person with everything kept, and in the latter case that the person's
// retry brings it in order.
func recovered(t *testing.T, w *world) string {
	t.Helper()
	w.fault = nil
	u := w.update()
	res, err := u.Recover(t.Context())
	w.intact(t)
	if errors.Is(err, rollback.ErrNeedsOperator) {
		require.True(t, w.fenced())
		res, err = u.Retry(t.Context(), "the power is back")
	}
	require.NoError(t, err)
	require.NotEqual(t, rollback.NeedsOperator, res.Outcome)
	require.False(t, w.fenced(), "users are let in")
	st, err := rollback.ReadStatus(u.Dir)
	require.NoError(t, err)
	require.Nil(t, st.Pending)
	return w.consistent(t)
}

// interrupt leaves an update pending in the middle of the installer.
func interrupt(t *testing.T) func(*world) {
	return func(w *world) {
		w.crashingAt("install ASP " + newVersion + " half")
		require.True(t, crashing(func() { _, _ = w.run(t) }))
		w.fault = nil
	}
}

// TestCrashAtEveryMoment cuts the power at every journal record and on both
// sides of every role call of an update that would succeed and of one that
// would be rolled back.
func TestCrashAtEveryMoment(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"good", "bad"} {
		forward, back, total := 0, 0, 0
		for n := 1; ; n++ {
			w := newWorld(t, "ASP", "Опека")
			w.write(t, "archive.Опека."+newVersion, kind)
			u := w.update()
			plan, err := u.Plan(t.Context())
			require.NoError(t, err)
			crashAt(w, u, n)
			if !crashing(func() { _, _ = u.Run(t.Context(), plan) }) {
				break
			}
			total++
			switch recovered(t, w) {
			case newVersion:
				forward++
				require.Equal(t, "good", kind, "a broken release is never committed")
			case oldVersion:
				back++
			}
		}
		t.Logf("%s release: %d crashes, %d went forward, %d back", kind, total, forward, back)
		require.Greater(t, total, 50)
		require.Positive(t, back)
		require.Equal(t, kind == "good", forward > 0)
	}
}

// TestSecondCrashDuringRecovery cuts the power again at every moment of the
// recovery from a crash in the middle of the installer.
func TestSecondCrashDuringRecovery(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"install ASP " + newVersion + " half", "install Опека " + newVersion + " after", "restore ASP after"} {
		for n := 1; ; n++ {
			w := newWorld(t, "ASP", "Опека")
			w.write(t, "archive.Опека."+newVersion, map[bool]string{true: "bad", false: "good"}[first == "restore ASP after"])
			u := w.update()
			plan, err := u.Plan(t.Context())
			require.NoError(t, err)
			w.crashingAt(first)
			require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }), first)
			u = w.update()
			crashAt(w, u, n)
			if !crashing(func() { _, _ = u.Recover(t.Context()) }) {
				break
			}
			recovered(t, w)
		}
	}
}

// TestFaultInEveryRoleCall makes the n-th role call fail once, and then for
// ever, and expects old+old, new+new, or a named state with everything kept
// that a person gets out of.
func TestFaultInEveryRoleCall(t *testing.T) {
	t.Parallel()
	for _, forEver := range []bool{false, true} {
		for _, kind := range []string{"good", "bad"} {
			for n := 1; ; n++ {
				w := newWorld(t, "ASP", "Опека")
				w.write(t, "archive.Опека."+newVersion, kind)
				u := w.update()
				plan, err := u.Plan(t.Context())
				require.NoError(t, err)
				count, hit := 0, false
				w.fault = func(call string) error {
					if count++; count == n || forEver && count > n {
						hit = true
						return fmt.Errorf("fault %d at %s", n, call)
					}
					return nil
				}
				res, err := u.Run(t.Context(), plan)
				if !hit {
					break
				}
				w.fault = nil
				w.intact(t)
				switch res.Outcome {
				case rollback.Committed, rollback.RolledBack, rollback.Abandoned:
					require.False(t, w.fenced())
					w.consistent(t)
				case rollback.Nothing:
					require.ErrorIs(t, err, rollback.ErrRefused)
					w.consistent(t)
				case rollback.NeedsOperator, rollback.Interrupted:
					require.Error(t, err)
					recovered(t, w)
				default:
					t.Fatalf("outcome %q", res.Outcome)
				}
			}
		}
	}
}

// TestRandomCrashesUntilTheEnd crashes again and again, also more often than
// the attempts allow.
func TestRandomCrashesUntilTheEnd(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		w := newWorld(t, "ASP")
		w.write(t, "archive.ASP."+newVersion, []string{"good", "bad"}[rnd.IntN(2)])
		u := w.update()
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		crashAt(w, u, 1+rnd.IntN(40))
		crashed := crashing(func() { _, _ = u.Run(t.Context(), plan) })
		for crashed && rnd.IntN(4) > 0 {
			u = w.update()
			crashAt(w, u, 1+rnd.IntN(20))
			crashed = crashing(func() { _, _ = u.Recover(t.Context()) })
		}
		recovered(t, w)
	}
}

func TestCrashLoopEndsInAVisibleState(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	loop := func(call string) error {
		if call == "install ASP "+newVersion+" half" || call == "restore ASP" {
			panic(crash{})
		}
		return nil
	}
	w.fault = loop
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	crashes := 0
	for crashing(func() { _, err = w.update().Recover(t.Context()) }) {
		crashes++
		require.Less(t, crashes, 10, "the loop must end")
	}
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.Equal(t, 3, crashes)
	w.intact(t)
	require.True(t, w.fenced())

	// It blocks everything but looking and deciding.
	_, err = w.update().Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonState)
	_, err = w.update().Run(t.Context(), plan)
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	_, err = w.update().Recover(t.Context())
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)

	w.fault = nil
	_, err = w.update().Retry(t.Context(), "")
	require.ErrorIs(t, err, rollback.ErrRefused, "a decision needs a reason")
	res, err := w.update().Retry(t.Context(), "memory replaced")
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.Equal(t, oldVersion, w.consistent(t))
}

func TestAcceptNeedsProbesThatAgree(t *testing.T) {
	for _, want := range []rollback.Outcome{rollback.Committed, rollback.RolledBack} {
		w := newWorld(t, "ASP", "Опека")
		w.write(t, "archive.Опека."+newVersion, "bad")
		w.fault = func(call string) error {
			if call == "restore ASP" {
				return errors.New("the database server is down")
			}
			return nil
		}
		res, err := w.run(t)
		require.ErrorIs(t, err, rollback.ErrNeedsOperator)
		require.ErrorContains(t, err, "the database server is down")
		require.Equal(t, rollback.NeedsOperator, res.Outcome)
		w.intact(t)
		w.fault = nil
		require.NoError(t, w.put("running", "yes"))

		_, err = w.update().Accept(t.Context(), "looks fine to me", nil)
		requireRefusal(t, err, rollback.ReasonInstalled)

		v := map[rollback.Outcome]string{rollback.Committed: newVersion, rollback.RolledBack: oldVersion}[want]
		w.write(t, "app.ASP", v)
		w.write(t, "data.ASP", "schema "+v+"\nrow 1\nrow 2\n")
		_, err = w.update().Accept(t.Context(), "half of it mended", nil)
		require.ErrorIs(t, err, rollback.ErrRefused)
		w.write(t, "app.Опека", v)
		w.write(t, "data.Опека", "schema "+v+"\nrow 1\nrow 2\n")
		res, err = w.update().Accept(t.Context(), "mended with the support", nil)
		require.NoError(t, err)
		require.Equal(t, want, res.Outcome)
		require.False(t, w.fenced())
		require.Equal(t, v, w.consistent(t))
		_, err = w.update().Accept(t.Context(), "again", nil)
		requireRefusal(t, err, rollback.ReasonState)
	}
}

// What a person did by hand before the retry need not be what the journal
// knows of: every part is put back.
func TestRetryPutsBackWhatWasChangedByHand(t *testing.T) {
	w := newWorld(t, "ASP", "Опека")
	w.fault = func(call string) error {
		if call == "install ASP "+newVersion || call == "restore ASP" {
			return errors.New("the database server is down")
		}
		return nil
	}
	_, err := w.run(t)
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.NotContains(t, w.calls, "install Опека "+newVersion)
	w.fault = nil
	w.write(t, "app.Опека", newVersion) // a try to go on by hand
	w.write(t, "data.Опека", "schema "+newVersion+"\n")
	res, err := w.update().Retry(t.Context(), "the server is up")
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.Equal(t, oldVersion, w.consistent(t))
}

// An installer that is still at work would go on behind open doors, however
// healthy the previous version looks until then.
func TestAcceptIsRefusedWhileAnInstallerIsRunning(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("install ASP " + newVersion)
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	w.fault = nil
	u.Parts[0].Installer = unsettled{installer{w, "ASP"}}
	_, err = u.Recover(t.Context())
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	w.write(t, "running", "yes")

	res, err := u.Accept(t.Context(), "it answers", nil)
	requireRefusal(t, err, rollback.ReasonInstalled)
	require.Equal(t, rollback.NeedsOperator, res.Outcome)
	require.True(t, w.fenced())

	res, err = w.update().Accept(t.Context(), "its installer has ended", nil)
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.False(t, w.fenced())
}

type unsettled struct{ installer }

func (unsettled) Settle(context.Context) (bool, error) {
	return false, errors.New("it is still at work")
}

// After a first installation "the previous one" is nothing: a probe that
// fails does not show that.
func TestR3AcceptDoesNotReadAFailingProbeAsNothingInstalled(t *testing.T) {
	w := newWorld(t, "ASP")
	u := firstInstallation(t, w)
	w.write(t, "archive.ASP."+newVersion, "bad")
	w.fault = func(call string) error {
		if call == "remove ASP" {
			return errors.New("it cannot be removed")
		}
		return nil
	}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	_, err = u.Run(t.Context(), plan)
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	_, err = u.Accept(t.Context(), "removed by hand, which it was not", nil)
	requireRefusal(t, err, rollback.ReasonInstalled)
	require.True(t, w.fenced())
}

func TestUnfenceThatFailsIsTriedAgainAndChangesNoOutcome(t *testing.T) {
	w := newWorld(t, "ASP")
	w.fault = func(call string) error {
		if call == "fence.open" {
			return errors.New("the entry is stuck")
		}
		return nil
	}
	res, err := w.run(t)
	require.Equal(t, rollback.Interrupted, res.Outcome)
	require.ErrorContains(t, err, "committed is durable")
	w.fault = nil
	res, err = w.update().Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome, "what was committed is never rolled back")
	require.Equal(t, newVersion, w.consistent(t))
	require.False(t, w.fenced())
}

func TestRunRecoversWhatIsPendingFirst(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("install ASP " + newVersion + " half")
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	w.fault = nil
	_, err = w.update().Run(t.Context(), plan)
	requireRefusal(t, err, rollback.ReasonQuarantined) // it went back, and the release is not tried again by itself
	require.Equal(t, oldVersion, w.consistent(t))
}

// A program that computes its releases from the server at each start recovers
// what is pending with those of the plan.
func TestFieldRecoverNeedsOnlyTheRoles(t *testing.T) {
	for at, want := range map[string]string{"snapshot ASP": oldVersion, "install ASP " + newVersion + " half": oldVersion, "await " + newVersion: newVersion} {
		w := newWorld(t, "ASP")
		w.crashingAt(at)
		require.True(t, crashing(func() { _, _ = w.run(t) }))
		w.fault = nil
		other := w.update()
		other.Parts[0].From, other.Parts[0].To = rollback.Release{}, rollback.Release{}
		_, err := other.Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, w.consistent(t))
		require.False(t, w.fenced())
		require.Equal(t, rollback.Release{}, other.Parts[0].To, "the caller's value is left alone")
	}
	w := newWorld(t, "ASP")
	interrupt(t)(w)
	other := w.update()
	other.Parts[0].Name = "another"
	_, err := other.Recover(t.Context())
	requireRefusal(t, err, rollback.ReasonState)
	require.True(t, w.fenced(), "nothing was changed")
	recovered(t, w)
}

// What is pending is recovered with its own releases, and the update after it is
// run with those of its plan.
func TestRunRecoversAnotherUpdateFirst(t *testing.T) {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP.7.14.100", "good")
	next := func() *rollback.Update {
		u := w.update()
		u.Parts[0].To = rollback.Release{Version: "7.14.100", SHA256: "next"}
		return u
	}
	plan, err := next().Plan(t.Context())
	require.NoError(t, err)
	interrupt(t)(w)
	res, err := next().Run(t.Context(), plan)
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	w.stands(t, "7.14.100", oldRows)
	require.Equal(t, newVersion, string(w.status(t).Quarantined[0].Release.Version))
}

// TestReboot lets installers ask for a restart of the machine, on the way
// forward and on the rollback.
func TestReboot(t *testing.T) {
	for name, c := range map[string]struct {
		reboots []string
		kind    string
		boots   int
		want    rollback.Outcome
	}{
		"forward, first of two":  {[]string{"ASP " + newVersion}, "good", 1, rollback.Committed},
		"forward, both":          {[]string{"ASP " + newVersion, "Опека " + newVersion}, "good", 2, rollback.Committed},
		"back":                   {[]string{"ASP " + oldVersion}, "bad", 1, rollback.RolledBack},
		"forward and then back":  {[]string{"Опека " + newVersion, "Опека " + oldVersion}, "bad", 2, rollback.RolledBack},
		"back, both parts of it": {[]string{"ASP " + oldVersion, "Опека " + oldVersion}, "bad", 2, rollback.RolledBack},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP", "Опека")
			w.write(t, "archive.Опека."+newVersion, c.kind)
			w.reboots = map[string]bool{}
			for _, r := range c.reboots {
				w.reboots[r] = true
			}
			res, err := w.run(t)
			for boot := range c.boots {
				require.NoError(t, err)
				require.Equal(t, rollback.AwaitingReboot, res.Outcome)
				require.True(t, w.fenced(), "fenced while it waits")
				calls := len(w.calls)
				res, err = w.update().Recover(t.Context())
				require.NoError(t, err)
				require.Equal(t, rollback.AwaitingReboot, res.Outcome, "no verdict before the restart")
				require.Len(t, w.calls, calls, "and nothing is touched")
				w.boot = fmt.Sprintf("boot-%d", boot+2)
				res, err = w.update().Recover(t.Context())
			}
			require.NoError(t, err)
			require.Equal(t, c.want, res.Outcome)
			require.False(t, w.fenced())
			w.consistent(t)
		})
	}
}

// A person goes back while the new version's installer waits for a restart. The
// process of that decision, or the one after the restart, dies.
func TestRetryWhileAnInstallerAwaitsARestartRestores(t *testing.T) {
	for _, at := range []rollback.Step{"no crash", "retry", rollback.StepReboot, rollback.StepStop} {
		t.Run(string(at), func(t *testing.T) {
			w := newWorld(t, "ASP")
			w.reboots = map[string]bool{"ASP " + newVersion: true}
			res, err := w.run(t)
			require.NoError(t, err)
			require.Equal(t, rollback.AwaitingReboot, res.Outcome)
			u := w.update()
			u.Observe = func(e rollback.Event) {
				if e.Step == at {
					panic(crash{})
				}
			}
			crashing(func() { _, _ = u.Retry(t.Context(), "it takes too long") })
			w.boot = "boot-2"
			crashing(func() { _, _ = u.Recover(t.Context()) })
			require.Equal(t, oldVersion, recovered(t, w))
			require.Equal(t, 1, count(w.calls, "restore ASP"), "the data may be the new version's")
		})
	}
}

// A process that dies when its installer has just asked for a restart leaves
// one that waits for the restart too.
func TestRebootIsAwaitedByTheNextProcess(t *testing.T) {
	for _, kind := range []string{"good", "bad"} {
		w := newWorld(t, "ASP")
		w.write(t, "archive.ASP."+newVersion, kind)
		w.reboots = map[string]bool{"ASP " + map[string]string{"good": newVersion, "bad": oldVersion}[kind]: true}
		u := w.update()
		u.Observe = func(e rollback.Event) {
			if e.Step == rollback.StepInstall && e.Kind == rollback.EventDone && e.Reference() != "" {
				panic(crash{})
			}
		}
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
		calls := len(w.calls)
		res, err := w.update().Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, rollback.AwaitingReboot, res.Outcome)
		require.Len(t, w.calls, calls, "no verdict before the restart")
		w.boot = "boot-2"
		require.Equal(t, map[string]string{"good": newVersion, "bad": oldVersion}[kind], recovered(t, w))
		restores := 0
		if kind == "bad" {
			restores = 1
		}
		require.Equal(t, restores, count(w.calls, "restore ASP"), "restored before the restart, and not again")
	}
}

// A re-release of the installed version (R13) answers the probe as what it
// replaces: a crash around its installer must not pass for its success.
func TestR13ReReleaseIsNotCommittedByItsProbe(t *testing.T) {
	w := newWorld(t, "ASP")
	again := func() *rollback.Update {
		u := w.update()
		u.Parts[0].To = rollback.Release{Version: oldVersion, SHA256: "again", VouchedBy: "test"}
		return u
	}
	u := again()
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.fault = func(call string) error {
		if call == "install ASP "+oldVersion {
			panic(crash{}) // before it has done anything
		}
		return nil
	}
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	w.failing("restore ASP")
	_, err = again().Recover(t.Context())
	require.ErrorIs(t, err, rollback.ErrNeedsOperator, "it goes back")
	w.fault = nil
	require.NoError(t, w.put("running", "yes"))
	_, err = again().Accept(t.Context(), "looks fine", nil)
	requireRefusal(t, err, rollback.ReasonInstalled)
	res, err := again().Retry(t.Context(), "the server is up")
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.Equal(t, "old", w.status(t).Committed["ASP"].SHA256)
}

// TestInstallerLeftRunningIsWaitedFor stands for an installer that outlived
// the process that started it: recovery waits for its end and goes forward.
func TestInstallerLeftRunningIsWaitedFor(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("install ASP " + newVersion + " half")
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	w.fault = nil
	u = w.update()
	u.Parts[0].Installer = survivor{installer{w, "ASP"}}
	res, err := u.Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Equal(t, newVersion, w.consistent(t))
}

// An installer that outlived its updater may want a restart too.
func TestInstallerLeftRunningThatNeedsARestart(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("install ASP " + newVersion + " half")
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	w.fault = nil
	w.reboots = map[string]bool{"ASP " + newVersion: true}
	u = w.update()
	u.Parts[0].Installer = survivor{installer{w, "ASP"}}
	res, err := u.Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.AwaitingReboot, res.Outcome)
	require.NotContains(t, w.calls, "await "+newVersion)
	require.True(t, w.fenced())
	w.boot, w.calls = "boot-2", nil
	require.Equal(t, newVersion, recovered(t, w))
	require.NotContains(t, w.calls, "install ASP "+newVersion, "it is installed")
}

type survivor struct{ installer }

func (s survivor) Settle(ctx context.Context) (bool, error) {
	return true, s.Install(ctx, rollback.Release{Version: newVersion})
}

// A part that the update does not change may have been changed by hand as well. Its
// Setup comes back where the archive has it.
func TestRetryPutsBackAPartThatTheUpdateKeeps(t *testing.T) {
	for name, archived := range map[string]string{"archived": "good", "not archived": ""} {
		t.Run(name, func(t *testing.T) {
			w := newMigratingWorld(t, "ASP", "Опека")
			kept := func() *rollback.Update {
				u := w.update()
				u.Parts[1].To = u.Parts[1].From
				return u
			}
			plan, err := kept().Plan(t.Context())
			require.NoError(t, err)
			w.fault = func(call string) error {
				if call == "install ASP "+newVersion || call == "restore ASP" {
					return errors.New("the database server is down")
				}
				return nil
			}
			_, err = kept().Run(t.Context(), plan)
			require.ErrorIs(t, err, rollback.ErrNeedsOperator)
			w.fault = nil
			if archived == "" { // the person has put it right
				w.write(t, "archive.Опека."+oldVersion, archived)
			} else {
				w.write(t, "app.Опека", newVersion) // a try to go on by hand
			}
			w.calls = nil
			res, err := kept().Retry(t.Context(), "the server is up")
			require.NoError(t, err)
			require.Equal(t, rollback.RolledBack, res.Outcome)
			require.Equal(t, oldVersion, w.consistent(t))
			require.Equal(t, archived != "", slices.Contains(w.calls, "install Опека "+oldVersion))
		})
	}
}
