package rollback_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// A mortal is an application that can be asked, and ends so long after each start, as often as that.
type mortal struct {
	app
	ends  time.Duration
	times int

	mu     sync.Mutex
	starts int
	begun  time.Time
	first  time.Time             // when it was started first
	slow   func(context.Context) // called in a start; may be nil
}

// several is an application of several parts.
type several []*mortal

func (s several) Unwrap() []rollback.Application { return []rollback.Application{s[0], s[1]} }

func (s several) Stop(ctx context.Context) error {
	return errors.Join(s[0].Stop(ctx), s[1].Stop(ctx))
}

func (s several) Start(ctx context.Context) error {
	return errors.Join(s[0].Start(ctx), s[1].Start(ctx))
}

func (m *mortal) Start(ctx context.Context) error {
	if m.slow != nil {
		m.slow(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.starts++
	m.begun = time.Now()
	if m.first.IsZero() {
		m.first = m.begun
	}
	return m.app.Start(ctx)
}

func (m *mortal) Stop(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.times = 0 // what is started after that is the previous version
	return m.app.Stop(ctx)
}

func (m *mortal) Closed(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead(), nil
}

func (m *mortal) dead() bool { return m.starts <= m.times && time.Since(m.begun) >= m.ends }

// A dependent migration is what the application does when it is asked, for an hour from its start on.
type dependent struct {
	m     *mortal
	asked *time.Time
	by    string // "": the application; what restructures else may stop it meanwhile
	sql   bool   // the structure is read past the application
}

func (d dependent) ByApplication() bool { return d.by == "" }

func (d dependent) Migrated(context.Context, rollback.Version) (bool, error) {
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if d.m.dead() && !d.sql {
		return false, errors.New("connection refused")
	}
	return d.asked.After(d.m.begun) && time.Since(*d.asked) >= time.Hour, nil
}

func (d dependent) Migrate(context.Context, rollback.Version) (bool, error) {
	switch d.by {
	case "a command":
		time.Sleep(time.Hour)
		return false, errors.New("it has failed")
	case "a service of its own":
		return true, nil
	}
	time.Sleep(time.Second)
	d.m.mu.Lock()
	defer d.m.mu.Unlock()
	if d.m.dead() {
		return false, errors.New("connection refused")
	}
	*d.asked = time.Now()
	return true, nil
}

// An application that ends while it is waited for is started again, and what it had not done
// is asked for again: users are not kept out until the deadline.
func TestFieldApplicationThatEndsIsStartedAgain(t *testing.T) {
	type site struct {
		u *rollback.Update
		m *mortal
		w *world
	}
	run := func(t *testing.T, change func(s site)) (s site, notes []string, took time.Duration, res rollback.Result, err error) {
		w := newWorld(t, "ASP")
		synctest.Test(t, func(t *testing.T) {
			u := w.update()
			u.Steady, u.Deadlines = 30*time.Second, rollback.Deadlines{}
			m := &mortal{app: app{w}, ends: 10 * time.Minute, times: 1}
			u.App = m
			s = site{u, m, w}
			change(s)
			times := m.times // of the new version: what stops the application clears it
			w.fault = func(call string) error {
				if call == "install ASP "+newVersion {
					m.times = times
				}
				return nil
			}
			u.Observe = func(e rollback.Event) {
				if e.Kind == rollback.EventNote {
					notes = append(notes, e.Text)
				}
			}
			plan, perr := u.Plan(t.Context())
			require.NoError(t, perr)
			begun := time.Now()
			res, err = u.Run(t.Context(), plan)
			took = time.Since(begun)
		})
		return s, notes, took, res, err
	}
	migrating := func(s site, by string) {
		s.u.Parts[0].Migrations = []rollback.Migration{{Name: "ASP", Migrator: dependent{m: s.m, asked: &time.Time{}, by: by}}}
	}
	again := func(n string) string { return "the application had stopped, and was started again: " + n }

	t.Run("in a restructuring", func(t *testing.T) {
		s, notes, took, res, err := run(t, func(s site) { migrating(s, "") })
		require.NoError(t, err)
		require.Equal(t, rollback.Committed, res.Outcome)
		require.Less(t, took, 75*time.Minute)
		require.Equal(t, 2, s.m.starts)
		require.Contains(t, notes, again("1"))
	})
	t.Run("before it is asked to restructure", func(t *testing.T) {
		s, notes, took, res, err := run(t, func(s site) {
			s.m.ends = 500 * time.Millisecond
			s.u.Parts[0].Migrations = []rollback.Migration{{Name: "ASP", Migrator: dependent{m: s.m, asked: &time.Time{}, sql: true}}}
		})
		require.NoError(t, err)
		require.Equal(t, rollback.Committed, res.Outcome)
		require.Less(t, took, 65*time.Minute)
		require.Equal(t, 2, s.m.starts)
		require.Contains(t, notes, again("1"))
	})
	t.Run("in a restructuring, each time", func(t *testing.T) {
		s, notes, took, res, err := run(t, func(s site) { s.m.times = 100; migrating(s, "") })
		require.ErrorContains(t, err, "the deadline of 3h0m0s for migrate passed")
		require.ErrorContains(t, err, "connection refused")
		require.Equal(t, rollback.RolledBack, res.Outcome)
		require.InDelta(t, 3, took.Hours(), 0.1)
		require.Equal(t, 5, s.m.starts, "four times, and once the previous version")
		require.Contains(t, notes, again("3"))
	})
	for _, by := range []string{"a command", "a service of its own"} {
		t.Run("it is stopped by what restructures, "+by, func(t *testing.T) {
			s, notes, _, res, err := run(t, func(s site) { migrating(s, by) })
			require.Error(t, err)
			require.Equal(t, rollback.RolledBack, res.Outcome)
			require.Equal(t, 2, s.m.starts, "of both versions")
			require.Empty(t, notes)
		})
	}
	t.Run("it was never seen running", func(t *testing.T) {
		s, notes, took, res, err := run(t, func(s site) { s.m.ends = 0; migrating(s, "") })
		require.Error(t, err)
		require.Equal(t, rollback.RolledBack, res.Outcome)
		require.InDelta(t, 3, took.Hours(), 0.1)
		require.Equal(t, 2, s.m.starts)
		require.Empty(t, notes)
	})
	t.Run("one of several parts", func(t *testing.T) {
		var other *mortal
		s, _, _, res, err := run(t, func(s site) {
			other = &mortal{app: s.m.app}
			s.u.App = several{s.m, other}
			migrating(s, "")
		})
		require.NoError(t, err)
		require.Equal(t, rollback.Committed, res.Outcome)
		require.Equal(t, []int{2, 1}, []int{s.m.starts, other.starts})
	})
	t.Run("the answer comes while it is started", func(t *testing.T) {
		canceled := false
		s, notes, _, res, err := run(t, func(s site) {
			s.m.slow = func(ctx context.Context) {
				if s.m.starts == 1 {
					time.Sleep(time.Minute)
					canceled = ctx.Err() != nil
				}
			}
			s.u.Parts[0].Probe = probe{rollback.Poll(func(context.Context) (rollback.Version, error) {
				s.m.mu.Lock()
				defer s.m.mu.Unlock()
				v, err := s.w.version("ASP")
				if v == newVersion && time.Since(s.m.first) < 11*time.Minute+15*time.Second {
					return "", errors.New("connection refused")
				}
				return v, err
			}, time.Second), s.w}
		})
		require.NoError(t, err)
		require.Equal(t, rollback.Committed, res.Outcome)
		require.Equal(t, 2, s.m.starts)
		require.False(t, canceled, "half a start could be killed with the application")
		require.Contains(t, notes, again("1"))
	})
	t.Run("before it is healthy", func(t *testing.T) {
		healthy := func(s site) {
			s.u.Parts[0].Probe = probe{rollback.Poll(func(context.Context) (rollback.Version, error) {
				s.m.mu.Lock()
				defer s.m.mu.Unlock()
				if v, err := s.w.version("ASP"); v != newVersion || err != nil {
					return v, err
				}
				if s.m.dead() || time.Since(s.m.begun) < 20*time.Minute {
					return "", errors.New("connection refused")
				}
				return newVersion, nil
			}, time.Second), s.w}
		}
		s, notes, took, res, err := run(t, healthy)
		require.NoError(t, err)
		require.Equal(t, rollback.Committed, res.Outcome)
		require.Less(t, took, 35*time.Minute)
		require.Equal(t, 2, s.m.starts)
		require.Contains(t, notes, again("1"))

		s, _, took, res, err = run(t, func(s site) { s.m.times = 100; healthy(s) })
		require.ErrorContains(t, err, "connection refused")
		require.Equal(t, rollback.RolledBack, res.Outcome)
		require.InDelta(t, 3, took.Hours(), 0.1)
		require.Equal(t, 5, s.m.starts)
	})
	t.Run("it cannot be asked", func(t *testing.T) {
		s, _, took, res, err := run(t, func(s site) {
			migrating(s, "")
			s.u.App = struct{ rollback.Application }{s.m}
		})
		require.ErrorContains(t, err, "connection refused")
		require.Equal(t, rollback.RolledBack, res.Outcome)
		require.InDelta(t, 3, took.Hours(), 0.1)
		require.Equal(t, 2, s.m.starts)
	})
}
