package watch_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
)

func TestR13WatchReportsReReleases(t *testing.T) {
	for name, again := range map[string]func(*shelf){
		"other size":             func(s *shelf) { s.put(setup1, 11, old) },
		"other time":             func(s *shelf) { s.put(setup1, 10, fresh) },
		"an earlier time":        func(s *shelf) { s.put(setup1, 10, old.Add(-2*time.Second)) },
		"other FullSetup":        func(s *shelf) { s.put(full1, 21, old) },
		"other place":            func(s *shelf) { s.remove(setup1); s.put("/asp/7.12.100/Setup.msi", 10, old) },
		"other size and listing": func(s *shelf) { s.put(setup1, 11, old.Truncate(24*time.Hour)) },
	} {
		t.Run(name, func(t *testing.T) {
			src := &shelf{}
			w := newWatcher(t)
			src.put(setup1, 10, old)
			src.put(full1, 20, old)
			w.sees(t, src, "released: /asp/7.12.100, there at the first check")
			first := w.last.FirstSeen
			again(src)
			w.sees(t, src, "re-released: /asp/7.12.100")
			require.Equal(t, first, w.last.FirstSeen)
			require.Equal(t, w.last.Files, w.seen(t, "7.12.100").Files)
			w.sees(t, src)
		})
	}
}

// asLIST shows times as ls does on a server in Moscow: local, to the minute,
// and after six months to the day.
func asLIST(clock func() time.Time) func(string, []fetch.Entry) ([]fetch.Entry, error) {
	return func(_ string, all []fetch.Entry) ([]fetch.Entry, error) {
		for i, e := range all {
			unit := time.Minute
			if clock().Sub(e.Time) > 180*24*time.Hour {
				unit = 24 * time.Hour
			}
			if e.Kind == fetch.KindFile {
				all[i].Time = e.Time.Add(3 * time.Hour).Truncate(unit)
			}
		}
		return all, nil
	}
}

func TestR13AListingThatAgesIsNoReRelease(t *testing.T) {
	for name, late := range map[string]bool{"seen at once": false, "seen weeks later": true} {
		for _, stat := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, Stat %t", name, stat), func(t *testing.T) {
				shelf := &shelf{}
				w := newWatcher(t)
				shelf.list = asLIST(w.Now)
				var src fetch.Source = shelf
				if stat {
					src = stater{shelf}
				}
				shelf.put(setup2, 10, w.now.Add(-90*24*time.Hour))
				w.sees(t, src, "released: /asp/7.12.200, there at the first check")
				require.Zero(t, shelf.stats, "what has not changed for long is not asked about")

				mod := w.now.Add(41 * time.Second)
				shelf.put(setup1, 10, mod)
				if late {
					w.now = w.now.Add(20 * 24 * time.Hour)
				} else if !stat {
					w.now = w.now.Add(3 * time.Hour) // the listing's local time must have settled
				}
				w.sees(t, src, "released: /asp/7.12.100")
				for range 40 { // more than a year
					w.now = w.now.Add(10 * 24 * time.Hour)
					w.sees(t, src)
				}
				require.LessOrEqual(t, shelf.stats, 7, "Stat only if the listing changed")

				// The same size, and another time.
				shelf.put(setup1, 10, w.now.Add(13*time.Second))
				w.now = w.now.Add(3 * time.Hour)
				w.sees(t, src, "re-released: /asp/7.12.100")
				for range 40 {
					w.now = w.now.Add(10 * 24 * time.Hour)
					w.sees(t, src)
				}
			})
		}
	}
}

// Hours after the first upload the same size again: MDTM shows it, even where
// LIST alone could not.
func TestR13ReReleaseOfTheSameEvening(t *testing.T) {
	shelf := &shelf{}
	w := newWatcher(t)
	shelf.list = asLIST(w.Now)
	shelf.put(setup2, 10, old)
	w.sees(t, stater{shelf}, "released: /asp/7.12.200, there at the first check")
	shelf.put(setup1, 10, w.now.Add(time.Second))
	w.sees(t, stater{shelf}, "released: /asp/7.12.100")
	shelf.put(setup1, 10, w.now.Add(2*time.Second))
	w.sees(t, stater{shelf}, "re-released: /asp/7.12.100")
	w.now = w.now.Add(30 * time.Hour)
	w.sees(t, stater{shelf}) // now by LIST
	w.sees(t, stater{shelf})
}

// A server that answers MDTM from its listing, or not at all, has no exact
// time to offer.
func TestR13AServerWithoutExactTimes(t *testing.T) {
	shelf := &shelf{}
	w := newWatcher(t)
	show := asLIST(w.Now)
	shelf.list = show
	src := listStater{shelf, show}
	shelf.put(setup1, 10, w.now)
	w.now = w.now.Add(4 * time.Hour)
	w.sees(t, src, "released: /asp/7.12.100, there at the first check")
	for range 40 {
		w.now = w.now.Add(10 * 24 * time.Hour)
		w.sees(t, src)
	}
	shelf.put(setup1, 10, w.now)
	w.now = w.now.Add(4 * time.Hour)
	w.sees(t, src, "re-released: /asp/7.12.100")
}

// A file of a day is not asked about by the Finder any more, and yet too
// young for the listing's time to be enough.
func TestR13ReReleaseADayAfterTheFirst(t *testing.T) {
	shelf := &shelf{}
	w := newWatcher(t)
	shelf.list = asLIST(w.Now)
	shelf.put(setup1, 10, w.now.Add(-30*time.Hour+time.Second))
	w.sees(t, stater{shelf}, "released: /asp/7.12.100, there at the first check")
	require.Equal(t, 1, shelf.stats)
	shelf.put(setup1, 10, w.now.Add(time.Second))
	w.now = w.now.Add(3 * time.Hour)
	w.sees(t, stater{shelf}, "re-released: /asp/7.12.100")
}

// Many small steps are a large one.
func TestR13TimesThatCreep(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	src.put(setup1, 10, old.Truncate(time.Hour))
	w.sees(t, src, "released: /asp/7.12.100, there at the first check")
	src.put(setup1, 10, old.Truncate(time.Hour).Add(30*time.Hour))
	w.sees(t, src) // may be the day that it was
	src.put(setup1, 10, old.Truncate(time.Hour).Add(60*time.Hour))
	w.sees(t, src, "re-released: /asp/7.12.100")
}

// What changes between the listing and the question is left for the next check.
func TestR13AFileThatChangesDuringACheck(t *testing.T) {
	for name, change := range map[string]func(*shelf){
		"grows": func(s *shelf) { s.put(setup1, 12, old.Add(time.Second)) },
		"goes":  func(s *shelf) { s.remove(setup1) },
	} {
		t.Run(name, func(t *testing.T) {
			shelf := &shelf{}
			w := newWatcher(t)
			shelf.put(setup1, 10, old)
			w.sees(t, stater{shelf}, "released: /asp/7.12.100, there at the first check")
			shelf.list = func(dir string, all []fetch.Entry) ([]fetch.Entry, error) {
				if dir == "/asp/7.12.100" {
					all = []fetch.Entry{{Name: "Setup.exe", Size: 10, Time: old.Truncate(time.Minute)}}
					s := shelf
					s.mu.Unlock()
					defer s.mu.Lock()
					change(s)
				}
				return all, nil
			}
			w.sees(t, stater{shelf})
			require.Equal(t, int64(10), w.seen(t, "7.12.100").Files[0].Size)
			shelf.list = nil
			shelf.put(setup1, 12, old.Add(time.Second))
			w.sees(t, stater{shelf}, "re-released: /asp/7.12.100")
		})
	}
}

type listStater struct {
	*shelf
	show func(string, []fetch.Entry) ([]fetch.Entry, error)
}

func (s listStater) Stat(_ context.Context, name string) (fetch.Entry, error) {
	all, err := s.show("", []fetch.Entry{s.files[name]})
	return all[0], err
}
