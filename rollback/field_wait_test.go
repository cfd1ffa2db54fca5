package rollback_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// patient is the update of a site that waits for hours where it must.
func (w *world) patient() *rollback.Update {
	u := w.update()
	u.Deadlines = rollback.Deadlines{}
	u.Steady = 5 * time.Millisecond
	return u
}

func TestFieldDeadInstallerIsAVerdictAtOnce(t *testing.T) {
	for at, want := range map[string]rollback.Outcome{
		"install ASP " + newVersion:            rollback.RolledBack, // it has done nothing: the old version answers
		"install ASP " + newVersion + " after": rollback.Committed,
	} {
		w := newWorld(t, "ASP")
		w.crashingAt(at)
		require.True(t, crashing(func() { _, _ = w.run(t) }))
		w.fault = nil
		begun := time.Now()
		res, err := w.patient().Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, res.Outcome)
		require.Less(t, time.Since(begun), time.Minute, "no wait for hours")
		w.consistent(t)
		require.False(t, w.fenced())
	}
}

// In a bundle the answers of one part are not those of all.
func TestFieldBundleHalfInstalledGoesBackAtOnce(t *testing.T) {
	w := newWorld(t, "ASP", "Опека")
	w.crashingAt("install Опека " + newVersion)
	require.True(t, crashing(func() { _, _ = w.run(t) }))
	w.fault = nil
	res, err := w.patient().Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.Equal(t, oldVersion, w.consistent(t))
}

// While recovery waits for an answer that does not come, a Ctrl-C ends the wait,
// and a person may decide from another process.
func TestFieldRecoveryThatWaitsMakesWay(t *testing.T) {
	silent := func(t *testing.T) *world {
		w := newWorld(t, "ASP")
		interrupt(t)(w)
		w.fault = nil
		return w
	}
	t.Run("canceled", func(t *testing.T) {
		w := silent(t)
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			res, err := w.patient().Recover(ctx)
			cancel()
			require.Equal(t, rollback.Interrupted, res.Outcome)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Zero(t, w.status(t).Pending.Attempts, "looking is no attempt")
			require.True(t, w.fenced())
		}
		require.Equal(t, oldVersion, recovered(t, w))
	})
	decide := func(t *testing.T, w *world, decision func(u *rollback.Update) (rollback.Result, error), want rollback.Outcome) {
		waits := make(chan error, 1)
		waiting := w.patient()
		waiting.Steady = time.Hour
		begun := make(chan struct{})
		waiting.Observe = func(e rollback.Event) {
			if e.Step == rollback.StepProbe && e.Kind == rollback.EventBegin {
				close(begun)
			}
		}
		go func() { _, err := waiting.Recover(context.Background()); waits <- err }()
		<-begun
		res, err := decision(w.patient())
		require.NoError(t, err)
		require.Equal(t, want, res.Outcome)
		require.ErrorContains(t, <-waits, "a person decides")
		require.False(t, w.fenced())
		require.NoFileExists(t, w.path("state/decision-waits"))
		w.consistent(t)
	}
	t.Run("retry", func(t *testing.T) {
		decide(t, silent(t), func(u *rollback.Update) (rollback.Result, error) { return u.Retry(t.Context(), "back") }, rollback.RolledBack)
	})
	t.Run("accept", func(t *testing.T) {
		w := silent(t)
		decide(t, w, func(u *rollback.Update) (rollback.Result, error) {
			w.enter(t, newVersion, oldRows)
			w.write(t, "app.ASP", newVersion)
			return u.Accept(t.Context(), "put right by hand", nil)
		}, rollback.Committed)
	})
}

// A way back that waits for the previous version's answer, for hours if it must, makes way as
// well, in an update as in a recovery.
func TestFieldWayBackThatWaitsMakesWay(t *testing.T) {
	// at has the new Setup fail, and calls it when the previous version's answer is waited for.
	at := func(w *world, waiting func()) {
		w.fault = func(call string) error {
			switch call {
			case "install ASP " + newVersion + " after":
				return errors.New("it fails")
			case "await " + oldVersion:
				waiting()
			}
			return nil
		}
	}
	waits := func(t *testing.T, w *world, run func() error) (ended chan error) {
		w.write(t, "archive.ASP."+oldVersion, "bad") // for now
		begun, ended := make(chan struct{}, 9), make(chan error, 1)
		at(w, func() { begun <- struct{}{} })
		go func() { ended <- run() }()
		<-begun
		return ended
	}
	died := func(t *testing.T) *world {
		w := newWorld(t, "ASP")
		at(w, func() { panic(crash{}) })
		require.True(t, crashing(func() { _, _ = w.run(t) }))
		return w
	}
	for name, crashed := range map[string]bool{"an update": false, "a recovery": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			u := w.patient()
			plan, err := u.Plan(t.Context())
			require.NoError(t, err)
			run := func() error { _, err := u.Run(context.Background(), plan); return err }
			if crashed {
				w = died(t)
				run = func() error { _, err := w.patient().Recover(context.Background()); return err }
			}
			ended := waits(t, w, run)
			w.write(t, "archive.ASP."+oldVersion, "good") // the support has repaired it
			res, err := w.patient().Retry(t.Context(), "the Setup was repaired")
			require.NoError(t, err)
			require.Equal(t, rollback.RolledBack, res.Outcome)
			require.ErrorContains(t, <-ended, "a person decides")
			w.stands(t, oldVersion, oldRows)
		})
	}
	t.Run("canceled", func(t *testing.T) {
		w := died(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := waits(t, w, func() error { _, err := w.patient().Recover(ctx); return err })
		cancel()
		err := <-ended
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, w.status(t).Pending.Attempts, "waiting is no attempt")
		require.True(t, w.fenced())
	})
}

// A deaf migration gives no answer, or restructures until it is released.
type deaf struct {
	asked   func()
	migrate func() error
}

func (m deaf) Migrated(context.Context, rollback.Version) (bool, error) {
	if m.migrate != nil {
		return false, nil
	}
	m.asked()
	return false, errors.New("connection refused")
}

func (m deaf) Migrate(context.Context, rollback.Version) (bool, error) { return false, m.migrate() }

// A recovery makes way as well while it waits for what a restructuring has done; but what it has begun
// itself comes to its end first.
func TestFieldRestructuringThatWaitsMakesWay(t *testing.T) {
	for name, itself := range map[string]bool{"its answer is waited for": false, "it is in progress": true} {
		t.Run(name, func(t *testing.T) {
			w := newMigratingWorld(t, "ASP")
			w.crashingAt("migrate ASP half")
			require.True(t, crashing(func() { _, _ = w.run(t) }))
			w.fault = nil
			begun, release := make(chan struct{}, 1), make(chan struct{})
			begin := func() {
				select {
				case begun <- struct{}{}:
				default:
				}
			}
			m := deaf{asked: begin}
			ended := false
			if itself {
				m.migrate = func() error { begin(); <-release; ended = true; return errors.New("it fails") }
			}
			u := w.patient()
			u.Parts[0].Migrations[0].Migrator = m
			waits := make(chan error, 1)
			go func() { _, err := u.Recover(context.Background()); waits <- err }()
			<-begun
			decided := make(chan error, 1)
			go func() {
				_, err := w.patient().Retry(context.Background(), "it hangs")
				decided <- err
			}()
			if itself {
				require.Eventually(t, func() bool { _, err := os.Stat(w.path("state/decision-waits")); return err == nil }, time.Minute, time.Millisecond)
				close(release)
			}
			err := <-waits
			if itself {
				require.True(t, ended)
				require.NoError(t, err, "it has gone back")
			} else {
				require.ErrorContains(t, err, "a person decides")
			}
			if err := <-decided; err != nil { // with what has failed there is nothing to decide any more
				require.True(t, itself, "%v", err)
			}
			w.stands(t, oldVersion, oldRows)
		})
	}
}

// A recovery can be stopped; an update that follows it in the same call cannot be after the first damage.
func TestFieldUpdateAfterARecoveryGoesOnToItsEnd(t *testing.T) {
	w := newWorld(t, "ASP")
	plan, err := w.update().Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("snapshot ASP")
	require.True(t, crashing(func() { _, _ = w.update().Run(t.Context(), plan) }))
	ctx, cancel := context.WithCancel(t.Context())
	w.fault = func(call string) error {
		if call == "await "+newVersion {
			cancel()
			time.Sleep(50 * time.Millisecond)
			return errors.New("it does not answer")
		}
		return nil
	}
	res, err := w.patient().Run(ctx, plan)
	require.ErrorContains(t, err, "it does not answer")
	require.Equal(t, rollback.RolledBack, res.Outcome, "not interrupted, with users out")
	w.stands(t, oldVersion, oldRows)
}

// The process of a person's decision was killed while it waited.
func TestFieldDecisionOfADeadProcessStopsNoRecovery(t *testing.T) {
	for name, age := range map[string]time.Duration{"a minute ago": time.Minute, "before the clock was set back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			interrupt(t)(w)
			waits := w.path("state/decision-waits")
			require.NoError(t, os.WriteFile(waits, []byte("deciding\n"), 0o600))
			_, err := w.patient().Recover(t.Context())
			require.ErrorContains(t, err, "a person decides")
			at := time.Now().Add(-age)
			require.NoError(t, os.Chtimes(waits, at, at))
			u := w.update()
			u.Deadlines.Decide, u.Deadlines.Probe = time.Second, time.Second // long enough to look at the file
			res, err := u.Recover(t.Context())
			require.NoError(t, err)
			require.Equal(t, rollback.RolledBack, res.Outcome)
			require.NoFileExists(t, waits)
		})
	}
}

// A decision that waits shows that it lives.
func TestFieldDecisionThatWaitsAsksAgain(t *testing.T) {
	w := newWorld(t, "ASP")
	interrupt(t)(w)
	lock, err := rollback.Acquire(w.path("state"), "waiting", time.Now())
	require.NoError(t, err)
	done := make(chan error, 1)
	u := w.update()
	go func() { _, err := u.Retry(context.Background(), "back"); done <- err }()
	waits := w.path("state/decision-waits")
	there := func() bool { _, err := os.Stat(waits); return err == nil }
	require.Eventually(t, there, time.Minute, time.Millisecond)
	require.NoError(t, os.Remove(waits))
	require.Eventually(t, there, time.Minute, time.Millisecond)
	require.NoError(t, lock.Release())
	require.NoError(t, <-done)
	require.NoFileExists(t, waits)
}

// A database that is still starting cannot be closed yet: it is waited for, and
// that burns no attempt, however often recovery is called.
func TestFieldWhatCannotBeLookedAtYetIsWaitedFor(t *testing.T) {
	w := newWorld(t, "ASP")
	w.crashingAt("install ASP " + newVersion + " after")
	require.True(t, crashing(func() { _, _ = w.run(t) }))
	w.failing("fence.close")
	for range 5 {
		res, err := w.update().Recover(t.Context())
		require.Equal(t, rollback.Interrupted, res.Outcome)
		require.NotErrorIs(t, err, rollback.ErrNeedsOperator)
	}
	starting := 4
	w.fault = func(call string) error {
		if call == "fence.close" && starting > 0 {
			starting--
			return errors.New("the database system is starting up")
		}
		return nil
	}
	res, err := w.patient().Tune(0, time.Millisecond, nil, "").Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome, "it was complete")
}

// An ill program answers for a while and dies.
type ill struct {
	rollback.Probe
	looks *int
	fails func(look int, v rollback.Version) bool
}

func (p ill) Version(ctx context.Context) (rollback.Version, error) {
	v, err := p.Probe.Version(ctx)
	if *p.looks++; err == nil && p.fails(*p.looks, v) {
		return "", errors.New("connection refused")
	}
	return v, err
}

func TestFieldHealthyOnceIsNotHealthy(t *testing.T) {
	for name, c := range map[string]struct {
		fails func(looks int, v rollback.Version) bool
		want  rollback.Outcome
	}{
		"it dies":             {func(looks int, v rollback.Version) bool { return v == newVersion && looks > 3 }, rollback.RolledBack},
		"one look that fails": {func(looks int, v rollback.Version) bool { return v == newVersion && looks == 3 }, rollback.Committed},
		"the old one dies":    {func(looks int, _ rollback.Version) bool { return looks > 3 }, rollback.NeedsOperator},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			u := w.patient()
			u.Deadlines.Probe = 10 * time.Second
			u.Parts[0].Probe = ill{u.Parts[0].Probe, new(int), c.fails}
			plan, err := u.Plan(t.Context())
			require.NoError(t, err)
			res, err := u.Run(t.Context(), plan)
			require.Equal(t, c.want, res.Outcome, "%v", err)
			if c.want != rollback.Committed {
				require.ErrorContains(t, err, "did not stay so")
				require.ErrorContains(t, err, "connection refused")
			}
		})
	}
}

// An orphan is a command that outlived its updater: it closes the gate a little
// later.
type orphan struct {
	fence
	acts *bool
}

func (o orphan) Settle(context.Context) (bool, error) {
	if o.w.fault != nil {
		if err := o.w.fault("settle fence"); err != nil {
			return false, err
		}
	}
	*o.acts = false
	return true, nil
}

func TestFieldOrphanIsSettledBeforeAnythingIsDecided(t *testing.T) {
	for at, want := range map[string]string{
		"fence.close after":                    oldVersion,
		"install ASP " + newVersion + " after": newVersion,
		"fence.open after":                     newVersion,
	} {
		w := newWorld(t, "ASP")
		w.crashingAt(at)
		require.True(t, crashing(func() { _, _ = w.run(t) }))
		acts := true
		w.fault = func(call string) error {
			require.True(t, !acts || call == "settle fence", "%s: the orphan is settled first", call)
			return nil
		}
		u := w.update()
		u.Fence = orphan{fence{w}, &acts}
		_, err := u.Recover(t.Context())
		require.NoError(t, err)
		require.False(t, acts)
		require.Equal(t, want, w.consistent(t))

		// Where it cannot be settled yet, a durable outcome lets users in all the
		// same, and everything else waits.
		w = newWorld(t, "ASP")
		w.crashingAt(at)
		require.True(t, crashing(func() { _, _ = w.run(t) }))
		w.failing("settle fence")
		u = w.update()
		u.Fence = orphan{fence{w}, &acts}
		res, err := u.Recover(t.Context())
		if at == "fence.open after" {
			require.NoError(t, err)
			require.False(t, w.fenced())
			continue
		}
		require.Equal(t, rollback.Interrupted, res.Outcome)
		require.ErrorContains(t, err, "left running")
	}
}
