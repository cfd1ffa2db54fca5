package watch_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/fetch/watch"
)

// A run is Run in a bubble, with the times of its checks.
type run struct {
	*watcher
	events lab.Events[fetch.Event]
	src    *shelf
	checks []time.Time
	skew   atomic.Int64 // of the clock that the Watch reads
	cancel context.CancelFunc
	ended  chan error
}

// Bubbles begin in 2000.
var longAgo = time.Date(1999, 12, 1, 17, 0, 1, 0, time.UTC)

// start runs a Watch until the test ends or cancels it.
func start(t *testing.T, w *watcher, prepare func(*run)) *run {
	r := &run{watcher: w, src: &shelf{}, ended: make(chan error, 1)}
	w.Now = func() time.Time { return time.Now().Add(time.Duration(r.skew.Load())) }
	w.Observe = r.events.Observe
	r.src.list = func(_ string, all []fetch.Entry) ([]fetch.Entry, error) {
		r.checks = append(r.checks, time.Now())
		return all, nil
	}
	r.src.put("/asp/Setup_7.12.100.exe", 10, longAgo) // one List is one check
	prepare(r)
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	go func() { r.ended <- w.Run(ctx, r.src) }()
	return r
}

// of returns the events of one kind, or all of them for "".
func (r *run) of(kind fetch.EventKind) []fetch.Event {
	return r.events.All(func(e fetch.Event) bool { return kind == "" || e.Kind == kind })
}

// pass lets time pass, and Run do what it then does.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *run) end(t *testing.T) {
	t.Helper()
	r.cancel()
	require.ErrorIs(t, <-r.ended, context.Canceled)
}

// gaps returns the minutes between checks.
func (r *run) gaps() (out []float64) {
	r.src.mu.Lock()
	defer r.src.mu.Unlock()
	for i := range len(r.checks) - 1 {
		out = append(out, r.checks[i+1].Sub(r.checks[i]).Minutes())
	}
	return out
}

func TestR1RunChecksWhenNextSays(t *testing.T) {
	for name, c := range map[string]struct {
		next func(time.Time) time.Time
		want []float64 // minutes
	}{
		"hourly":             {nil, []float64{60, 60, 60}},
		"no answer":          {func(time.Time) time.Time { return time.Time{} }, []float64{60, 60, 60}},
		"every five minutes": {func(now time.Time) time.Time { return now.Add(5 * time.Minute) }, []float64{5, 5, 5}},
		"in the past":        {func(now time.Time) time.Time { return now.Add(-time.Hour) }, []float64{1, 1, 1}},
		"now":                {func(now time.Time) time.Time { return now }, []float64{1, 1, 1}},
		"at a certain time":  {func(now time.Time) time.Time { return now.Truncate(24 * time.Hour).Add(24 * time.Hour) }, []float64{1440, 1440, 1440}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWatcher(t)
			synctest.Test(t, func(t *testing.T) {
				r := start(t, w, func(r *run) { r.Next = c.next })
				for len(r.gaps()) < 3 {
					pass(time.Minute)
				}
				r.end(t)
				require.Equal(t, c.want, r.gaps())
				require.Equal(t, []string{"released: /asp/7.12.100, there at the first check"}, r.reports)
			})
		})
	}
}

func TestRunSpreadsItsChecks(t *testing.T) {
	w := newWatcher(t)
	w.Spread = 10 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		r := start(t, w, func(*run) {})
		began := time.Now()
		pass(2 * 24 * time.Hour)
		r.end(t)
		require.NotEqual(t, began, r.checks[0])
		for _, g := range r.gaps() {
			require.True(t, 60 <= g && g < 70, "%v", g)
		}
		require.Greater(t, slices.Max(r.gaps())-slices.Min(r.gaps()), 1.0)
	})
}

func TestRunWhileTheServerIsDown(t *testing.T) {
	w := newWatcher(t)
	w.Distributions = []string{"asp", "Опека"}
	synctest.Test(t, func(t *testing.T) {
		down := false
		r := start(t, w, func(r *run) {
			r.src.put("/Опека/Setup_7.12.100.exe", 10, longAgo)
			r.Next = func(now time.Time) time.Time { return now.Add(5 * time.Minute) }
			r.src.list = func(dir string, all []fetch.Entry) ([]fetch.Entry, error) {
				if dir == "/asp" {
					r.checks = append(r.checks, time.Now())
				}
				if down {
					return nil, &fetch.Error{Op: "list", Subject: dir, Err: fetch.ErrUnreachable}
				}
				return all, nil
			}
		})
		turn := func(to bool) {
			r.src.mu.Lock()
			defer r.src.mu.Unlock()
			r.checks, down = nil, to
		}
		pass(time.Second)
		for i := range 2 {
			turn(true)
			pass(3 * time.Hour)
			require.Equal(t, []float64{5, 5, 8, 16, 16}, r.gaps()[:5])
			reported := r.of(watch.EventFailed)
			require.Len(t, reported, i+1, "reported once")
			require.ErrorIs(t, reported[i].Err, fetch.ErrUnreachable)

			turn(false)
			pass(2 * time.Hour)
			require.Equal(t, []float64{5, 5, 5, 5}, r.gaps()[:4])
			require.Len(t, r.of(watch.EventFailed), i+1)
			require.Len(t, r.of(watch.EventRecovered), i+1)
		}
		r.end(t)
		require.Len(t, r.reports, 2)
	})
}

// One distribution that is misspelled slows down none of the others, and is
// reported by itself.
func TestRunGoesOnForTheOthers(t *testing.T) {
	w := newWatcher(t)
	w.Distributions = []string{"nowhere", "asp", "nothing"}
	w.fail = func(watch.Sighting) error { return os.ErrPermission }
	synctest.Test(t, func(t *testing.T) {
		r := start(t, w, func(r *run) {
			list := r.src.list
			r.src.list = func(dir string, all []fetch.Entry) ([]fetch.Entry, error) {
				if all == nil {
					return nil, &fetch.Error{Op: "list", Err: fetch.ErrNotFound}
				}
				if dir == "/" {
					return all, nil
				}
				return list(dir, all)
			}
		})
		pass(10 * time.Hour)
		r.end(t)
		require.Equal(t, []float64{60, 60, 60}, r.gaps()[:3])
		require.Len(t, r.of(""), 3)
		require.Equal(t, "nowhere", r.of("")[0].Distribution)
		require.ErrorIs(t, r.of("")[1].Err, os.ErrPermission)
		require.Equal(t, "nothing", r.of("")[2].Distribution)
	})
}

func TestRunWhenTheClockJumps(t *testing.T) {
	for name, skew := range map[string]time.Duration{"ten years back": -10 * 365 * 24 * time.Hour, "an hour on": time.Hour, "ten years on": 10 * 365 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWatcher(t)
			synctest.Test(t, func(t *testing.T) {
				r := start(t, w, func(*run) {})
				pass(90*time.Minute + time.Second) // the second check was at 60
				r.skew.Store(int64(skew))
				pass(24 * time.Hour)
				r.end(t)
				third := r.gaps()[1]
				if skew < 0 {
					require.True(t, 60 < third && third <= 92, "%v: Next was asked anew", third)
				} else {
					require.True(t, 30 < third && third <= 32, "%v: its time had come", third)
				}
				require.GreaterOrEqual(t, slices.Min(r.gaps()), 1.0)
				require.Less(t, len(r.checks), 27)
			})
		})
	}
}

func TestRunEndsWhenWaitingDoesNotHelp(t *testing.T) {
	w := newWatcher(t)
	synctest.Test(t, func(t *testing.T) {
		r := start(t, w, func(*run) {})
		pass(time.Minute)
		require.NoError(t, os.WriteFile(r.File, []byte("{"), 0o600))
		require.ErrorContains(t, <-r.ended, "move it away")
		r.cancel()
	})
}

func TestR13WatchOnFTP(t *testing.T) {
	for name, features := range map[string][]string{"MLSD": nil, "LIST": {"SIZE", "MDTM"}, "bare": {}} {
		t.Run(name, func(t *testing.T) {
			s := fetchtest.New(t)
			s.Features = features
			if name == "bare" {
				lab.Replies(s, map[string]string{"MDTM": "502 what?"})
			}
			src := lab.Client(s)
			w := newWatcher(t)
			w.now = time.Now()
			mod := w.now.Truncate(time.Minute).Add(-time.Hour + 7*time.Second)
			s.Put(setup1, []byte("x"), old)
			s.Put(setup2, []byte("x"), mod)
			w.sees(t, src, "released: /asp/7.12.100, there at the first check", "released: /asp/7.12.200, there at the first check")
			w.now = w.now.Add(3 * 24 * time.Hour) // not recent any more
			w.sees(t, src)
			asked := len(s.Commands())
			w.sees(t, src)
			for _, c := range s.Commands()[asked:] {
				require.False(t, strings.HasPrefix(c, "MDTM"), "nothing changed, and nothing was asked about")
			}
			s.Put(setup2, []byte("y"), mod.Add(time.Hour+time.Second))
			if name == "bare" { // without MDTM, an hour is too short for the times of a listing
				w.sees(t, src)
				s.Put(setup2, []byte("more"), mod.Add(time.Hour+time.Second))
			}
			w.sees(t, src, "re-released: /asp/7.12.200")
			w.sees(t, src)
			lab.NoneLeft(t, s)
		})
	}
}
