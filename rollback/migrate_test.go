package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// A migrator restructures the data of one part: half of it, then all of it. What
// it finds half done it does again.
type migrator struct {
	w    *world
	part string
}

func (m migrator) Migrated(_ context.Context, to rollback.Version) (bool, error) {
	schema, _, _ := strings.Cut(m.w.read("data."+m.part), "\n")
	return schema == "schema "+string(to), nil
}

func (m migrator) Migrate(_ context.Context, to rollback.Version) (bool, error) {
	return false, m.w.call("migrate "+m.part, func() error {
		if !m.w.fenced() || m.w.read("running") != "yes" {
			return errors.New("restructured under the users' hands, or without the application")
		}
		_, rows, _ := strings.Cut(m.w.read("data."+m.part), "\n")
		if err := m.w.put("data."+m.part, "schema half\n"+rows); err != nil {
			return err
		}
		if m.w.fault != nil {
			if err := m.w.fault("migrate " + m.part + " half"); err != nil {
				return err
			}
		}
		if m.w.read("archive."+m.part+"."+string(to)) == "bad" {
			return errors.New("the structure differs")
		}
		return m.w.put("data."+m.part, "schema "+string(to)+"\n"+rows)
	})
}

func newMigratingWorld(t testing.TB, parts ...string) *world {
	w := newWorld(t, parts...)
	w.migrates = true
	return w
}

func TestR11MigratesBeforeTheCommit(t *testing.T) {
	w := newMigratingWorld(t, "ASP", "Опека")
	u := w.update()
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	require.Subset(t, plan.Steps, []rollback.PlanStep{{Step: rollback.StepMigrate, Part: "ASP"}, {Step: rollback.StepMigrate, Part: "Опека"}})
	res, err := u.Run(t.Context(), plan)
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Equal(t, newVersion, w.consistent(t))
	order := func(call string) int { return slices.Index(w.calls, call) }
	require.Less(t, order("app.start"), order("migrate ASP"))
	require.Less(t, order("migrate ASP"), order("migrate Опека"))
	require.Less(t, order("migrate Опека"), order("await "+newVersion))
	require.Less(t, order("migrate Опека"), order("fence.open"))

	entries, err := rollback.ReadHistory(u.Dir)
	require.NoError(t, err)
	records, err := rollback.ReadRecords(u.Dir)
	require.NoError(t, err)
	took := map[string]time.Duration{}
	for _, r := range records {
		switch {
		case r.Step == rollback.StepMigrate && r.Kind == rollback.EventBegin:
			took[r.Part] -= time.Duration(r.Time.UnixNano())
		case r.Step == rollback.StepMigrate && r.Kind == rollback.EventDone:
			took[r.Part] += time.Duration(r.Time.UnixNano())
		}
	}
	require.Len(t, took, 2)
	require.Equal(t, took, entries[len(entries)-1].Migrated)

	// The operator's rollback brings the data back with its structure.
	u = w.backwards()
	plan, err = u.PlanRevert(t.Context())
	require.NoError(t, err)
	w.calls = nil
	_, err = u.Revert(t.Context(), plan.Hash, "a test")
	require.NoError(t, err)
	require.Equal(t, oldVersion, w.consistent(t))
	require.NotContains(t, strings.Join(w.calls, "\n"), "migrate")
}

func TestOneDatabaseThatDiffersRollsAllBack(t *testing.T) {
	w := newMigratingWorld(t, "ASP", "Опека")
	w.write(t, "archive.Опека."+newVersion, "bad")
	_, err := w.run(t)
	require.ErrorContains(t, err, "the structure differs")
	failure, ok := errors.AsType[*rollback.Error](err)
	require.True(t, ok)
	require.Equal(t, "migrate", failure.Op)
	require.Equal(t, "Опека", failure.Subject)
	require.Equal(t, oldVersion, w.consistent(t))
	require.False(t, w.fenced())
	require.NotContains(t, w.calls, "await "+newVersion)
}

// A crash at every moment: what has been migrated is not started again, and what is
// half done is.
func TestMigrationsThroughCrashes(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"good", "bad"} {
		ends := map[string]int{}
		for n := 1; ; n++ {
			w := newMigratingWorld(t, "ASP", "Опека")
			w.write(t, "archive.Опека."+newVersion, kind)
			u := w.update()
			plan, err := u.Plan(t.Context())
			require.NoError(t, err)
			crashAt(w, u, n)
			if !crashing(func() { _, _ = u.Run(t.Context(), plan) }) {
				break
			}
			records, err := rollback.ReadRecords(u.Dir)
			require.NoError(t, err)
			done := slices.ContainsFunc(records, func(r rollback.Record) bool {
				return r.Step == rollback.StepMigrate && r.Kind == rollback.EventDone && r.Part == "ASP"
			})
			w.calls = nil
			end := recovered(t, w)
			ends[end]++
			if done {
				require.NotContains(t, w.calls, "migrate ASP", "moment %d", n)
			}
			if kind == "bad" {
				require.Equal(t, oldVersion, end)
			}
		}
		require.Greater(t, ends[oldVersion], 20)
		require.Equal(t, kind == "good", ends[newVersion] > 10, "%v", ends)
	}
}

func TestWhatIsNotMigratedIsNotAccepted(t *testing.T) {
	w := newMigratingWorld(t, "ASP")
	w.crashingAt("migrate ASP half")
	require.True(t, crashing(func() { _, _ = w.run(t) }))
	w.fault = nil
	w.write(t, "app.ASP", newVersion)
	u := w.update()
	u.Parts[0].Probe = rollback.Poll(func(context.Context) (rollback.Version, error) { return newVersion, nil }, time.Millisecond)
	_, err := u.Accept(t.Context(), "by hand", nil)
	require.ErrorContains(t, err, "the structure is not that of version "+newVersion)
	require.True(t, w.fenced())
	w.write(t, "data.ASP", "schema "+newVersion+"\nrow 1\nrow 2\n")
	res, err := u.Accept(t.Context(), "by hand", nil)
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Equal(t, newVersion, w.consistent(t))
}

func TestMigrationsMustBeThoseOfThePlan(t *testing.T) {
	w := newMigratingWorld(t, "ASP")
	w.crashingAt("migrate ASP half")
	require.True(t, crashing(func() { _, _ = w.run(t) }))
	w.fault, w.migrates = nil, false
	_, err := w.update().Recover(t.Context())
	require.ErrorContains(t, err, "pending with migrations other than those given")
	w.migrates = true
	require.Equal(t, newVersion, recovered(t, w))
}

func TestMigrationsThatCannotBe(t *testing.T) {
	w := newMigratingWorld(t, "ASP")
	for name, list := range map[string][]rollback.Migration{
		"no dataset": {{Name: "ASP", Migrator: migrator{w, "ASP"}}, {Name: "other", Migrator: migrator{w, "ASP"}}},
		"needs its":  {{Name: "ASP"}},
		"no other":   {{Name: "ASP", Migrator: migrator{w, "ASP"}}, {Name: "ASP", Migrator: migrator{w, "ASP"}}},
	} {
		u := w.update()
		u.Parts[0].Migrations = list
		_, err := u.Plan(t.Context())
		require.ErrorIs(t, err, rollback.ErrRefused)
		require.ErrorContains(t, err, name)
	}
}

// A slow migrator of the tests: what it does takes an hour of virtual time.
type slow struct {
	now, most *int
	mu        *sync.Mutex
	goesOn    bool
	fails     error
	begun     *time.Time
	never     bool
}

func (s slow) Migrated(context.Context, rollback.Version) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.never && !s.begun.IsZero() && time.Since(*s.begun) >= time.Hour, nil
}

func (s slow) Migrate(ctx context.Context, _ rollback.Version) (bool, error) {
	s.mu.Lock()
	*s.begun = time.Now()
	*s.now++
	*s.most = max(*s.most, *s.now)
	s.mu.Unlock()
	defer func() { s.mu.Lock(); *s.now--; s.mu.Unlock() }()
	if s.fails != nil || s.goesOn {
		return s.goesOn, s.fails
	}
	select {
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-time.After(time.Hour):
		return false, nil
	}
}

// migrating runs an update of twenty databases, four at a time, in virtual time.
func migrating(t *testing.T, change func(i int, s *slow)) (most int, notes []string, took time.Duration, res rollback.Result, err error) {
	w := newWorld(t, "ASP")
	synctest.Test(t, func(t *testing.T) {
		u := w.update()
		u.Parallel, u.Deadlines.Migrate, u.Steady = 4, 3*time.Hour, 30*time.Second
		u.NoData, u.Data = "a test", nil
		var mu sync.Mutex
		now := 0
		for i := range 20 {
			s := &slow{now: &now, most: &most, mu: &mu, begun: new(time.Time)}
			change(i, s)
			u.Parts[0].Migrations = append(u.Parts[0].Migrations, rollback.Migration{Name: fmt.Sprintf("base%02d", i+1), Migrator: *s})
		}
		u.Observe = func(e rollback.Event) {
			if e.Kind == rollback.EventNote {
				notes = append(notes, e.Text)
			}
		}
		plan, perr := u.Plan(t.Context())
		require.NoError(t, perr)
		began := time.Now()
		res, err = u.Run(t.Context(), plan)
		took = time.Since(began)
		require.Zero(t, now, "none is left running")
	})
	return most, notes, took, res, err
}

func TestMigrationsRunSeveralAtATime(t *testing.T) {
	most, notes, took, res, err := migrating(t, func(int, *slow) {})
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Equal(t, 4, most)
	require.InDelta(t, 5, took.Hours(), 0.1)
	require.Contains(t, strings.Join(notes, "\n"), "migrate: 4 of 20 done, in progress: base05 has taken 1m0s, base06 has taken 1m0s, base07 has taken 1m0s, base08 has taken 1m0s")
}

func TestAMigrationThatFailsCancelsTheOthers(t *testing.T) {
	_, _, took, res, err := migrating(t, func(i int, s *slow) {
		if i == 12 {
			s.fails = errors.New("column is missing")
		}
	})
	require.ErrorContains(t, err, "column is missing")
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.InDelta(t, 3, took.Hours(), 0.1)
}

func TestAMigrationThatGoesOnIsWaitedFor(t *testing.T) {
	_, _, took, res, err := migrating(t, func(_ int, s *slow) { s.goesOn = true })
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.InDelta(t, 5, took.Hours(), 0.1)
	_, _, took, res, err = migrating(t, func(i int, s *slow) { s.goesOn, s.never = true, i == 0 })
	require.ErrorContains(t, err, "the deadline of 3h0m0s for migrate passed")
	require.ErrorContains(t, err, "the structure is not that of version "+newVersion+" yet")
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.InDelta(t, 3, took.Hours(), 0.1)
}

// What has ended is checked, not believed.
func TestAMigrationThatDoesNothingFails(t *testing.T) {
	_, _, took, res, err := migrating(t, func(i int, s *slow) { s.never = i == 19 })
	require.ErrorContains(t, err, "it has ended, and the structure is not that of version "+newVersion)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.InDelta(t, 5, took.Hours(), 0.1)
}

// How long each database took the last time is said beside how long it takes now.
func TestProgressNamesTheLastTime(t *testing.T) {
	w := newWorld(t, "ASP")
	w.write(t, "archive.ASP.7.14.100", "good")
	update := func(t *testing.T, from, to rollback.Version) (notes []string) {
		u := w.update()
		if from == newVersion {
			u.Parts[0].From.SHA256, u.Parts[0].To.SHA256 = "new", "newer"
		}
		u.Steady, u.Deadlines.Migrate, u.NoData, u.Data = 30*time.Second, 3*time.Hour, "a test", nil
		u.Parts[0].From.Version, u.Parts[0].To.Version = from, to
		var mu sync.Mutex
		now, most := 0, 0
		for _, name := range []string{"base1", "base2"} {
			u.Parts[0].Migrations = append(u.Parts[0].Migrations, rollback.Migration{Name: name, Migrator: slow{now: &now, most: &most, mu: &mu, begun: new(time.Time)}})
		}
		u.Observe = func(e rollback.Event) {
			if e.Kind == rollback.EventNote {
				notes = append(notes, e.Text)
			}
		}
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		_, err = u.Run(t.Context(), plan)
		require.NoError(t, err)
		return notes
	}
	synctest.Test(t, func(t *testing.T) {
		require.Contains(t, update(t, oldVersion, newVersion), "migrate: 0 of 2 done, in progress: base1 has taken 1m0s")
		require.Contains(t, update(t, newVersion, "7.14.100"), "migrate: 0 of 2 done, in progress: base1 has taken 1m0s, the last time 1h0m0s")
	})
}
