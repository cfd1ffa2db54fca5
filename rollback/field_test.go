package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// What people and machines do around a crash. Each fault was seen in the field, and is
// one of a kind: TestEachFieldFaultHasItsTests in examples/aspupdate has the table.

// An asked fence can be asked.
type asked struct{ fence }

func (f asked) Closed(context.Context) (bool, error) { return f.w.fenced(), nil }

func TestFieldRecoveryAfterADurableEndOnlyOpens(t *testing.T) {
	w := newWorld(t, "ASP")
	w.crashingAt("fence.open")
	require.True(t, crashing(func() { _, _ = w.run(t) }))
	w.calls = nil
	w.failing("app.start") // it runs already, and its command fails then
	res, err := w.update().Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.False(t, w.fenced())
	require.NotContains(t, w.calls, "fence.close")
}

// The machine restarted after the commit, and the application does not start.
func TestFieldApplicationThatDoesNotStartAfterTheCommitIsReported(t *testing.T) {
	ended := func() *world {
		w := newWorld(t, "ASP")
		w.crashingAt("fence.open")
		require.True(t, crashing(func() { _, _ = w.run(t) }))
		require.NoError(t, w.put("running", ""))
		w.failing("app.start")
		return w
	}
	w := ended()
	for range 4 {
		res, err := w.update().Recover(t.Context())
		require.Equal(t, rollback.Interrupted, res.Outcome)
		require.ErrorContains(t, err, "it does not work")
		require.NotNil(t, w.status(t).Pending)
		require.False(t, w.fenced(), "users are not locked out")
	}
	w.fault = nil
	res, err := w.update().Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	w.stands(t, newVersion, oldRows)

	// A person who goes back does not have to start it first.
	w = ended()
	w.fault = func(call string) error {
		if call == "app.start" && w.read("app.ASP") == newVersion {
			return errors.New("it does not work")
		}
		return nil
	}
	_, err = w.backwards().Revert(t.Context(), "not shown", "it does not start")
	requireRefusal(t, err, rollback.ReasonPlanChanged)
	require.Nil(t, w.status(t).Pending)
	_, err = revert(t, w.backwards())
	require.NoError(t, err)
	w.stands(t, oldVersion, oldRows)
}

func TestFieldOpenLetsUsersInWithNothingPending(t *testing.T) {
	w := newWorld(t, "ASP")
	open := func() *rollback.Update {
		u := w.update()
		u.Fence = asked{fence{w}}
		return u
	}
	interrupt(t)(w)
	found, err := open().Open(t.Context(), "the state is lost")
	require.ErrorIs(t, err, rollback.ErrPending, "it is open once that is recovered")
	require.Equal(t, []rollback.FencePart{{Name: "fence", State: "closed"}}, found)
	require.True(t, w.fenced())

	require.NoError(t, os.RemoveAll(w.path("state"))) // "put the state aside"
	w.enter(t, oldVersion, oldRows)
	w.write(t, "app.ASP", oldVersion)
	require.NoError(t, w.put("running", "yes"))
	require.Equal(t, "fence: closed", open().FenceState(t.Context())[0].String(), "it is seen")
	_, err = open().Open(t.Context(), " ")
	requireRefusal(t, err, rollback.ReasonSetup)
	found, err = open().Open(t.Context(), "the state is lost")
	require.NoError(t, err)
	require.Equal(t, "closed", found[0].State, "it says what it found")
	require.False(t, w.fenced())
	require.Equal(t, "open", open().FenceState(t.Context())[0].State)
	past, err := rollback.ReadHistory(w.path("state"))
	require.NoError(t, err)
	require.Equal(t, "the state is lost", past[len(past)-1].Reason, "it is recorded")

	// A fence that says that it is open, and is not, is not believed.
	u := open()
	u.Fence = stuck{fence{w}}
	_, err = u.Open(t.Context(), "again")
	require.ErrorContains(t, err, "closed")
}

// A stuck fence is always closed.
type stuck struct{ fence }

func (stuck) Closed(context.Context) (bool, error) { return true, nil }

// A twofold fence has a part that can be asked, and one that cannot.
type twofold []rollback.Fence

func (s twofold) Unwrap() []rollback.Fence { return s }

func (s twofold) Close(ctx context.Context) error {
	return errors.Join(s[0].Close(ctx), s[1].Close(ctx))
}

func (s twofold) Open(ctx context.Context) error { return errors.Join(s[0].Open(ctx), s[1].Open(ctx)) }

// A silent fence cannot be asked.
type silent struct{ w *world }

func (f silent) Close(context.Context) error { return f.w.put("gate", "closed") }

func (f silent) Open(context.Context) error {
	return f.w.call("gate.open", func() error { return f.w.put("gate", "") })
}

func TestFieldFencePartThatDoesNotOpenAndCannotBeAskedIsNoSuccess(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	u.Fence = twofold{asked{fence{w}}, silent{w}}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.failing("gate.open")
	res, err := u.Run(t.Context(), plan)
	require.Equal(t, rollback.Interrupted, res.Outcome)
	require.ErrorContains(t, err, "committed is durable, but the fence cannot be opened")
	e, ok := errors.AsType[*rollback.Error](err)
	require.True(t, ok)
	require.Contains(t, e.State(), "users may still be kept out")
	require.NotNil(t, w.status(t).Pending, "it is tried again")
	_, err = u.Recover(t.Context())
	require.Error(t, err)

	w.fault = nil
	res, err = u.Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Empty(t, w.read("gate"))

	w.failing("gate.open")
	_, err = u.Open(t.Context(), "a person looks")
	require.ErrorContains(t, err, "it does not work")
}

func TestFieldErrorsSayOfUsersWhatTheFenceSays(t *testing.T) {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP."+newVersion, "bad")
	u := w.update()
	u.Fence = asked{fence{w}}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.failing("restore ASP")
	_, err = u.Run(t.Context(), plan)
	require.ErrorIs(t, err, rollback.ErrNeedsOperator)
	require.ErrorContains(t, err, "users are kept out")

	w.write(t, "fence", "")
	w.failing("fence.close")
	_, err = u.Recover(t.Context())
	e, ok := errors.AsType[*rollback.Error](err)
	require.True(t, ok)
	require.True(t, e.Unfenced)
	require.Contains(t, e.State(), "users are let in")
	require.NotContains(t, e.Error(), "kept out")

	// Its call fails, and it is closed all the same.
	w.write(t, "fence", "closed")
	_, err = u.Recover(t.Context())
	e, ok = errors.AsType[*rollback.Error](err)
	require.True(t, ok)
	require.False(t, e.Unfenced)
	require.Contains(t, e.State(), "users are kept out")
}

func TestFieldFenceThatOpensByItselfIsSeen(t *testing.T) {
	for at, want := range map[string]rollback.Outcome{
		"snapshot ASP after":      rollback.Abandoned,
		"ready ASP " + newVersion: rollback.Abandoned, // by the guard
		"await " + newVersion:     rollback.Committed, // a rollback would lose what was entered since
	} {
		w := newWorld(t, "ASP")
		u := w.update()
		u.Fence = asked{fence{w}}
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		w.fault = func(call string) error {
			if call == at {
				return w.put("fence", "")
			}
			return nil
		}
		res, err := u.Run(t.Context(), plan)
		require.Equal(t, want, res.Outcome, "%s: %v", at, err)
		if want == rollback.Abandoned {
			require.ErrorContains(t, err, "the fence is not closed: fence: open")
			require.NotContains(t, w.calls, "install ASP "+newVersion)
			require.Equal(t, oldVersion, w.consistent(t))
		} else {
			require.Contains(t, w.read(journalFile), "the fence is not closed", "it is recorded")
		}
		require.False(t, w.fenced())
	}
}

func TestFieldStartThatFailsBecauseItRunsIsNoFailure(t *testing.T) {
	w := newWorld(t, "ASP")
	w.fault = func(call string) error {
		switch call {
		case "snapshot ASP":
			return errors.New("the disk is full")
		case "app.start": // a service that starts by itself
			return errors.Join(w.put("running", "yes"), errors.New("it runs already"))
		}
		return nil
	}
	res, err := w.run(t)
	require.Equal(t, rollback.Abandoned, res.Outcome, "%v", err)
	require.False(t, w.fenced())
}

// A settled fence notes that it was settled.
type settled struct {
	asked
	err error
}

func (f settled) Settle(context.Context) (bool, error) {
	f.w.calls = append(f.w.calls, "settle")
	return true, f.err
}

func TestFieldCommandsOfADeadUpdaterAreSettledFirst(t *testing.T) {
	w := newWorld(t, "ASP")
	interrupt(t)(w)
	w.calls = nil
	u := w.update()
	still := errors.New("the close command is still running")
	u.Fence = settled{asked{fence{w}}, still}
	res, err := u.Recover(t.Context())
	require.ErrorIs(t, err, still)
	require.Equal(t, rollback.Interrupted, res.Outcome)
	require.Equal(t, []string{"settle"}, w.calls, "nothing else is done")
	_, err = u.Accept(t.Context(), "it looks fine", nil)
	requireRefusal(t, err, rollback.ReasonInstalled)
	require.ErrorIs(t, err, still)

	w.calls = nil
	u.Fence = settled{asked{fence{w}}, nil}
	_, err = u.Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, "settle", w.calls[0])
}

// A killed rehearsal has left a command that closes the fence: it is waited for before the
// fence is opened, and what cannot be settled keeps no user out.
func TestFieldOpenSettlesWhatADeadProcessLeft(t *testing.T) {
	w := newWorld(t, "ASP")
	require.NoError(t, w.put("fence", ""))
	u := w.update()
	u.Fence = settled{asked{fence{w}}, nil}
	_, err := u.Open(t.Context(), "the rehearsal died")
	require.NoError(t, err)
	require.Equal(t, []string{"settle", "fence.open"}, w.calls)
	require.False(t, w.fenced())

	require.NoError(t, w.put("fence", ""))
	still := errors.New("the close command is still running")
	u.Fence = settled{asked{fence{w}}, still}
	_, err = u.Open(t.Context(), "the rehearsal died")
	require.ErrorIs(t, err, still)
	require.ErrorContains(t, err, "it may close the fence again")
	require.False(t, w.fenced())
}

// A busyError is that of an installer which another program keeps from running.
type busyError struct{ error }

func (busyError) Busy() bool { return true }

// A busyInstaller is kept from installing the previous version for a while.
type busyInstaller struct {
	installer
	left *int
}

func (i busyInstaller) Install(ctx context.Context, r rollback.Release) error {
	if r.Version == oldVersion && *i.left > 0 {
		*i.left--
		return fmt.Errorf("run: %w", busyError{errors.New("another program holds the lock")})
	}
	return i.installer.Install(ctx, r)
}

func TestFieldABusyInstallerIsNoFailedAttempt(t *testing.T) {
	w := newWorld(t, "ASP")
	w.failing("install ASP " + string(newVersion))
	left := 10 // more than the attempts
	u := w.update()
	u.Parts[0].Installer = busyInstaller{u.Parts[0].Installer.(installer), &left}
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	res, err := u.Run(t.Context(), plan)
	require.Error(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.Zero(t, left)
}
