package rollback_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// firstInstallation makes w a machine with nothing on it, and returns the
// update that installs newVersion there.
func firstInstallation(t testing.TB, w *world) *rollback.Update {
	w.write(t, "app.ASP", "")
	w.write(t, "data.ASP", "")
	u := w.update()
	u.Parts[0].From, u.Parts[0].Installer, u.Data = rollback.Release{}, remover{installer{w, "ASP"}}, nil
	return u
}

// failing makes one call fail.
func (w *world) failing(call string) {
	w.fault = func(c string) error {
		if c == call {
			return errors.New("it does not work")
		}
		return nil
	}
}

// crashingAt makes one call the end of the process.
func (w *world) crashingAt(call string) {
	w.fault = func(c string) error {
		if c == call {
			panic(crash{})
		}
		return nil
	}
}

// A fence need not outlive a restart of the machine, and while a person must
// decide nobody may enter what a rollback would lose.
func TestFenceIsClosedAgainWhileAPersonMustDecide(t *testing.T) {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP."+newVersion, "bad")
	w.failing("restore ASP")
	_, err := w.run(t)
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)

	w.write(t, "fence", "")
	w.boot = "boot-2"
	before := w.read("state/journal.log")
	_, err = w.update().Recover(t.Context())
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.True(t, w.fenced(), "the error says that users are kept out")
	require.Equal(t, before, w.read("state/journal.log"), "looking in does not fill the journal")

	w.write(t, "fence", "")
	w.failing("fence.close")
	_, err = w.update().Recover(t.Context())
	e, ok := errors.AsType[*rollback.Error](err)
	require.True(t, ok)
	require.True(t, e.Unfenced)
	require.ErrorContains(t, err, "users may be in")
	require.NotContains(t, err.Error(), "users are kept out")
}

// Until a person has decided nothing goes but looking and recovering.
func TestNeedsOperatorBlocksEverythingElse(t *testing.T) {
	w := committedWorld(t, "ASP")
	_, err := revert(t, w.backwards())
	require.NoError(t, err)
	aside, held := w.status(t).Aside[0].Update, w.status(t).Quarantined[0]
	w.write(t, "archive.ASP.7.14.100", "bad")
	next := func() *rollback.Update {
		u := w.update()
		u.Parts[0].To = rollback.Release{Version: "7.14.100", SHA256: "newer"}
		return u
	}
	plan, err := next().Plan(t.Context())
	require.NoError(t, err)
	w.failing("restore ASP")
	_, err = next().Run(t.Context(), plan)
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	w.fault, w.calls = nil, nil
	before := w.read(journalFile)
	for name, call := range map[string]func() error{
		"plan":      func() error { _, err := next().Plan(t.Context()); return err },
		"run":       func() error { _, err := next().Run(t.Context(), plan); return err },
		"plan back": func() error { _, err := w.backwards().PlanRevert(t.Context()); return err },
		"lift":      func() error { return next().Lift(held.Part, held.Release, "why not") },
		"forget":    func() error { return next().Forget(aside, "why not") },
	} {
		require.ErrorIs(t, call(), rollback.ErrNeedsOperator, name)
	}
	require.Equal(t, before, w.read(journalFile))
	require.Subset(t, []string{"fence.close"}, w.calls)
	_, err = next().Retry(t.Context(), "repaired")
	require.NoError(t, err)
	require.NoError(t, next().Lift(held.Part, held.Release, "it was the network"))
	require.NoError(t, next().Forget(aside, "typed in by hand"))
}

// A decision that is not believed leaves things as they are: users are out.
func TestFenceIsClosedAgainByARefusedDecision(t *testing.T) {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP."+newVersion, "bad")
	w.failing("restore ASP")
	_, err := w.run(t)
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	w.write(t, "fence", "")
	w.boot = "boot-2"
	_, err = w.update().Accept(t.Context(), "looks fine to me", nil)
	requireRefusal(t, err, rollback.ReasonInstalled)
	require.True(t, w.fenced())
}

func TestFenceIsClosedAgainWhenACrashLoopEnds(t *testing.T) {
	w := newWorld(t, "ASP")
	w.fault = func(c string) error {
		if c == "install ASP "+newVersion+" half" || c == "settle ASP" {
			panic(crash{})
		}
		return nil
	}
	require.True(t, crashing(func() { _, _ = w.run(t) }))
	for range 3 {
		require.True(t, crashing(func() { _, _ = w.update().Recover(t.Context()) }))
	}
	w.fault = nil
	w.write(t, "fence", "")
	_, err := w.update().Recover(t.Context())
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.True(t, w.fenced())
}

func TestFenceIsClosedAlthoughAnInstallerNeverSettles(t *testing.T) {
	w := newWorld(t, "ASP")
	w.fault = func(c string) error {
		if c == "install ASP "+newVersion+" half" {
			panic(crash{})
		}
		return nil
	}
	require.True(t, crashing(func() { _, _ = w.run(t) }))
	w.write(t, "fence", "")
	w.failing("settle ASP")
	_, err := w.update().Recover(t.Context())
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.True(t, w.fenced())
}

// A probe that fails does not show that nothing is installed: FullSetup would
// go over an installation that is only down.
func TestR3FirstInstallationOverOneThatIsDownIsRefused(t *testing.T) {
	w := newWorld(t, "ASP")
	u := firstInstallation(t, w)
	w.write(t, "app.ASP", oldVersion)
	w.write(t, "data.ASP", "schema "+oldVersion+"\nrow 1\n")
	w.write(t, "ever-stopped", "yes")
	_, err := u.Plan(t.Context())
	requireRefusal(t, err, rollback.ReasonInstalled)
}

type forgetful struct{ remover }

func (forgetful) Remove(context.Context, rollback.Release) error { return nil }

func TestR3FirstInstallationLeftHalfIsNotTakenBack(t *testing.T) {
	w := newWorld(t, "ASP")
	u := firstInstallation(t, w)
	w.write(t, "archive.ASP."+newVersion, "bad")
	u.Parts[0].Installer = forgetful{remover{installer{w, "ASP"}}}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	res, err := u.Run(t.Context(), plan)
	require.Equal(t, rollback.NeedsOperator, res.Outcome, "%v", err)
	require.True(t, w.fenced())
}

func TestFirstInstallationStopsNoApplicationThatIsNotThere(t *testing.T) {
	w := newWorld(t, "ASP")
	u := firstInstallation(t, w)
	w.write(t, "archive.ASP."+newVersion, "bad")
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	require.NotContains(t, plan.Steps, rollback.PlanStep{Step: rollback.StepStop})
	res, err := u.Run(t.Context(), plan)
	require.Equal(t, rollback.RolledBack, res.Outcome, "%v", err)
	require.Equal(t, "app.start", w.calls[indexOf(w.calls, "install ASP "+newVersion)+1], "the new one is started")
	require.Equal(t, 1, count(w.calls, "app.start"), "and what was removed is not")
}

func indexOf(list []string, s string) int {
	for i, e := range list {
		if e == s {
			return i
		}
	}
	return -1
}

func count(list []string, s string) (n int) {
	for _, e := range list {
		if e == s {
			n++
		}
	}
	return n
}

func TestR9LeftOutIsRecorded(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	u.Data, u.NoData = nil, "the distribution keeps no data"
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	require.Contains(t, plan.Overrides, rollback.Override{Rule: "R9", Reason: "the distribution keeps no data"})
}

// What an update was begun with is what it is recovered with: a fence that
// the configuration has lost meanwhile would stay closed for ever.
func TestRecoverNeedsTheFenceAndTheApplicationOfThePlan(t *testing.T) {
	for name, change := range map[string]func(u *rollback.Update){
		"fence left out": func(u *rollback.Update) { u.Fence = rollback.NoFence("edited") },
		"no application": func(u *rollback.Update) { u.App = nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			w.fault = func(c string) error {
				if c == "snapshot ASP" {
					panic(crash{})
				}
				return nil
			}
			require.True(t, crashing(func() { _, _ = w.run(t) }))
			w.fault = nil
			u := w.update()
			change(u)
			res, err := u.Recover(t.Context())
			require.Equal(t, rollback.Interrupted, res.Outcome, "an update is pending, whatever the roles")
			require.ErrorIs(t, err, rollback.ErrRefused)
			e, ok := errors.AsType[*rollback.Error](err)
			require.True(t, ok)
			require.True(t, e.Unfenced, "nothing was looked at")

			u = w.update()
			u.Window = &window{} // R13 binds the start alone
			_, err = u.Recover(t.Context())
			require.NoError(t, err)
			require.Equal(t, oldVersion, w.consistent(t))
			require.False(t, w.fenced())
		})
	}
}

// The length of a file can reach the disk without its last bytes.
func TestTornNewlineIsNoDamage(t *testing.T) {
	w := newWorld(t, "ASP")
	_, err := w.run(t)
	require.NoError(t, err)
	path := w.path("state/journal.log")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[len(b)-1] = 0
	require.NoError(t, os.WriteFile(path, b, 0o600))
	_, err = w.update().Recover(t.Context())
	require.NoError(t, err)
	require.False(t, w.fenced())
}

// Must hold 4: a journal that was damaged under a run is evidence, and not a
// byte is written to it.
func TestJournalDamagedUnderARunIsKept(t *testing.T) {
	w := newWorld(t, "ASP")
	path := w.path("state/journal.log")
	verifies := 0
	var damaged []byte
	w.fault = func(c string) error {
		if c == "verify ASP" {
			verifies++
		}
		if c == "verify ASP" && verifies == 2 { // the guard's
			damaged, _ = os.ReadFile(path)
			damaged[60] ^= 1
			return os.WriteFile(path, damaged, 0o600)
		}
		return nil
	}
	res, err := w.run(t)
	require.ErrorIs(t, err, rollback.ErrDamaged)
	require.Equal(t, rollback.Interrupted, res.Outcome)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, damaged, after)
	_, err = w.update().Recover(t.Context())
	require.ErrorIs(t, err, rollback.ErrDamaged, "a damaged journal blocks")
}

// Must hold 4: a journal that somebody took away is no fresh start, with an
// update in flight and without one.
func TestJournalTakenAwayBlocks(t *testing.T) {
	for name, before := range map[string]func(*world){
		"in flight":   interrupt(t),
		"rolled back": func(w *world) { w.write(t, "archive.ASP."+newVersion, "bad"); _, _ = w.run(t) },
	} {
		w := newWorld(t, "ASP")
		before(w)
		st, err := rollback.ReadStatus(w.path("state"))
		require.NoError(t, err)
		require.NoError(t, os.Rename(w.path(journalFile), w.path("journal.kept")))
		_, err = rollback.ReadStatus(w.path("state"))
		require.ErrorIs(t, err, rollback.ErrDamaged, name)
		_, err = rollback.ReadRecords(w.path("state"))
		require.ErrorIs(t, err, rollback.ErrDamaged, name)
		w.calls = nil
		_, err = w.update().Plan(t.Context())
		require.ErrorIs(t, err, rollback.ErrDamaged, name)
		_, err = w.update().Recover(t.Context())
		require.ErrorIs(t, err, rollback.ErrDamaged, name)
		require.Empty(t, w.calls)
		require.NoFileExists(t, w.path(journalFile), name)
		require.NoError(t, os.Rename(w.path("journal.kept"), w.path(journalFile)))
		again, err := rollback.ReadStatus(w.path("state"))
		require.NoError(t, err)
		require.Equal(t, st, again, name)
		_, err = w.update().Recover(t.Context())
		require.NoError(t, err, name)
	}
}

// A deleted lock lets a second process in. The first one notices before it
// writes the next record, so that the journal stays whole.
func TestDeletedLockDoesNotMixTheJournal(t *testing.T) {
	if os.PathSeparator == '\\' {
		t.Skip("Windows does not let an open lock be deleted, which is the point")
	}
	w := newWorld(t, "ASP")
	second := false
	w.fault = func(c string) error {
		if c == "install ASP "+newVersion+" half" && !second {
			second = true
			require.NoError(t, os.Remove(w.path("state/lock")))
			_, _ = w.update().Recover(t.Context())
		}
		return nil
	}
	res, err := w.run(t)
	require.Equal(t, rollback.Interrupted, res.Outcome)
	require.ErrorContains(t, err, "lock")
	_, err = rollback.ReadStatus(w.path("state"))
	require.NoError(t, err)
}
