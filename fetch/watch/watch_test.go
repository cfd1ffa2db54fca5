package watch_test

import (
	"context"
	"errors"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/fetch/watch"
)

// shelf is a server of files of a size and a time, with the listing that a
// test wants. It has no Stat, see stater.
type shelf struct {
	mu    sync.Mutex
	files map[string]fetch.Entry
	list  func(dir string, e []fetch.Entry) ([]fetch.Entry, error) // nil: as they are
	lists int
	stats int
}

func (s *shelf) put(name string, size int64, mod time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files == nil {
		s.files = map[string]fetch.Entry{}
	}
	s.files[name] = fetch.Entry{Name: path.Base(name), Size: size, Time: mod}
}

func (s *shelf) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, name)
}

func (s *shelf) List(_ context.Context, dir string) ([]fetch.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	var all []fetch.Entry
	for name, e := range s.files {
		rest, ok := strings.CutPrefix(name, strings.TrimSuffix(dir, "/")+"/")
		first, _, deeper := strings.Cut(rest, "/")
		if deeper {
			e = fetch.Entry{Name: first, Kind: fetch.KindDir, Size: -1}
		}
		if ok && !slices.Contains(all, e) {
			all = append(all, e)
		}
	}
	if s.list != nil {
		return s.list(dir, all)
	}
	if all == nil {
		return nil, &fetch.Error{Op: "list", Subject: dir, Err: fetch.ErrNotFound}
	}
	return all, nil
}

func (s *shelf) Open(context.Context, string, int64) (io.ReadCloser, error) {
	return nil, errors.ErrUnsupported
}

type stater struct{ *shelf }

func (s stater) Stat(_ context.Context, name string) (fetch.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats++
	e, ok := s.files[name]
	if !ok {
		return e, &fetch.Error{Op: "stat", Subject: name, Err: fetch.ErrNotFound}
	}
	return e, nil
}

// watcher is a Watch of "asp" at a time that the test moves, and what it
// reported without an error.
type watcher struct {
	*watch.Watch
	now     time.Time
	reports []string
	last    watch.Sighting
	fail    func(watch.Sighting) error
}

func newWatcher(t *testing.T) *watcher {
	w := &watcher{now: lab.Now}
	w.Watch = &watch.Watch{
		Distributions: []string{"asp"},
		File:          filepath.Join(t.TempDir(), "state", "seen.json"),
		Spread:        -1,
		Now:           func() time.Time { return w.now },
		Report: func(_ context.Context, s watch.Sighting) error {
			if w.fail != nil {
				if err := w.fail(s); err != nil {
					return err
				}
			}
			w.reports = append(w.reports, s.String())
			w.last = s
			return nil
		},
	}
	return w
}

// sees checks after a while and asserts what is reported.
func (w *watcher) sees(t *testing.T, src fetch.Source, want ...string) {
	t.Helper()
	w.now = w.now.Add(time.Hour)
	w.reports = nil
	require.NoError(t, w.Check(t.Context(), src))
	require.Equal(t, want, w.reports)
}

func (w *watcher) seen(t *testing.T, number string) watch.Seen {
	t.Helper()
	all, err := w.Seen()
	require.NoError(t, err)
	i := slices.IndexFunc(all, func(s watch.Seen) bool { return s.Version.String() == number })
	require.GreaterOrEqual(t, i, 0, "%s is not remembered", number)
	return all[i]
}

// Times to the second, and not a whole minute: exact ones.
var (
	old   = time.Date(2019, 12, 4, 17, 3, 21, 0, time.UTC)
	fresh = lab.Now.Add(-30*time.Minute + 7*time.Second)
)

const (
	setup1 = "/asp/7.12.100/Setup.exe"
	full1  = "/asp/7.12.100/FullSetup.exe"
	setup2 = "/asp/7.12.200/Setup.exe"
	full2  = "/asp/7.12.200/FullSetup.exe"
)

func TestR6WatchReportsWhatIsNew(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	src.put(setup1, 10, old)
	src.put("/asp/readme.txt", 1, old)
	w.sees(t, src, "released: /asp/7.12.100, there at the first check")
	require.True(t, w.last.FirstCheck)
	require.True(t, w.last.Appeared().IsZero(), "when it appeared is unknown")
	w.sees(t, src)

	src.put(full2, 20, fresh)
	w.sees(t, src) // a FullSetup alone is of no use (R3)
	src.put(setup2, 10, w.now.Add(-time.Minute))
	w.sees(t, src, "released: /asp/7.12.200")
	require.Len(t, w.last.Files, 2)
	require.Equal(t, w.now, w.last.FirstSeen)
	require.Equal(t, w.now, w.last.Appeared())
	require.Equal(t, w.now, w.seen(t, "7.12.200").FirstSeen)
	w.sees(t, src)

	src.put(full1, 20, fresh)
	w.sees(t, src) // joins its Setup
	require.Len(t, w.seen(t, "7.12.100").Files, 2)

	src.put("/asp/7.12.300-beta.1/Setup.exe", 10, old)
	src.put("/asp/7.12.400/Setup.exe.part", 10, old)
	w.sees(t, src)

	src.remove(setup1)
	src.remove(full1)
	w.sees(t, src, "vanished: /asp/7.12.100")
	require.Equal(t, w.now, w.last.Gone)
	require.Len(t, w.last.Files, 2, "what it was is still known")
	require.Equal(t, w.now, w.seen(t, "7.12.100").Gone)
	w.sees(t, src)

	src.put(full1, 20, fresh)
	w.sees(t, src) // still of no use alone
	src.put(setup1, 10, old)
	w.sees(t, src, "released: /asp/7.12.100, there at the first check") // back, the same as before
	src.remove(setup1)
	w.sees(t, src, "vanished: /asp/7.12.100")
	require.Len(t, w.last.Files, 2, "and not the FullSetup that is left")
	src.remove(full1)
	src.put(setup1, 10, old)
	w.sees(t, src, "released: /asp/7.12.100, there at the first check")
	require.True(t, w.seen(t, "7.12.100").Gone.IsZero())
	src.remove(setup1)
	w.sees(t, src, "vanished: /asp/7.12.100")
	src.put(setup1, 11, old)
	w.sees(t, src, "re-released: /asp/7.12.100") // back, with other files
	w.sees(t, src)
}

func TestWatchKnowsWhatHasNotVanished(t *testing.T) {
	down := &fetch.Error{Op: "list", Err: fetch.ErrUnreachable}
	for name, c := range map[string]struct {
		hide func(*shelf)
		err  error // of the check
	}{
		"uploaded again":              {func(s *shelf) { s.put(setup1, 5, lab.Now.Add(time.Hour)) }, nil},
		"uploaded again under a name": {func(s *shelf) { s.remove(setup1); s.put(setup1+".part", 5, old) }, nil},
		"a second file joins":         {func(s *shelf) { s.put("/asp/7.12.100/Setup.msi", 5, old) }, nil},
		"its directory is not understood": {func(s *shelf) {
			s.list = func(dir string, all []fetch.Entry) ([]fetch.Entry, error) {
				if dir == "/asp" {
					all = []fetch.Entry{{Name: "drwx what is this 7.12.100", Kind: fetch.KindUnreadable}}
				}
				return all, nil
			}
		}, nil},
		"its file is not understood": {func(s *shelf) {
			s.list = func(dir string, all []fetch.Entry) ([]fetch.Entry, error) {
				if dir == "/asp/7.12.100" {
					all = []fetch.Entry{{Name: "-rw what is this Setup.exe", Kind: fetch.KindUnreadable}}
				}
				return all, nil
			}
		}, nil},
		"gone between two listings": {func(s *shelf) {
			s.list = func(dir string, all []fetch.Entry) ([]fetch.Entry, error) {
				if dir == "/asp/7.12.100" {
					return nil, &fetch.Error{Op: "list", Err: fetch.ErrNotFound}
				}
				return all, nil
			}
		}, nil},
		"the server is down": {func(s *shelf) {
			s.list = func(string, []fetch.Entry) ([]fetch.Entry, error) { return nil, down }
		}, fetch.ErrUnreachable},
		"half of it is down": {func(s *shelf) {
			s.remove(setup1)
			s.put("/asp/7.12.300/Setup.exe", 5, old)
			s.list = func(dir string, all []fetch.Entry) ([]fetch.Entry, error) {
				if dir == "/asp/7.12.300" {
					return nil, down
				}
				return all, nil
			}
		}, fetch.ErrUnreachable},
		"the distribution is gone": {func(s *shelf) { s.files = nil }, fetch.ErrUnknownDistribution},
	} {
		t.Run(name, func(t *testing.T) {
			src := &shelf{}
			w := newWatcher(t)
			src.put(setup1, 10, old)
			w.sees(t, src, "released: /asp/7.12.100, there at the first check")
			c.hide(src)
			w.reports = nil
			w.now = w.now.Add(time.Minute)
			err := w.Check(t.Context(), src)
			if c.err != nil {
				require.ErrorIs(t, err, c.err)
			} else {
				require.NoError(t, err)
			}
			require.Empty(t, w.reports)
			require.True(t, w.seen(t, "7.12.100").Gone.IsZero())

			// And so does a check that finds nothing.
			src.list, src.files = nil, nil
			src.put("/asp/7.12.100/Setup.txt", 10, old) // left beside it
			w.sees(t, src, "vanished: /asp/7.12.100")
		})
	}
}

func TestWatchOneDistributionStopsNoOther(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	w.Distributions = []string{"nowhere", "asp", "Опека"}
	src.put(setup1, 10, old)
	src.put("/Опека/7.12.100/Setup.exe", 10, old)
	err := w.Check(t.Context(), src)
	require.ErrorIs(t, err, fetch.ErrUnknownDistribution)
	require.ErrorContains(t, err, "nowhere")
	require.Len(t, w.reports, 2)

	// The first check of one is not the first check of all.
	src.put("/nowhere/7.12.100/Setup.exe", 10, old)
	w.sees(t, src, "released: /nowhere/7.12.100, there at the first check")
}

func TestWatchRefusedLoginIsNotTriedAgain(t *testing.T) {
	src := &shelf{list: func(string, []fetch.Entry) ([]fetch.Entry, error) {
		return nil, &fetch.Error{Op: "list", Err: fetch.ErrCredentials}
	}}
	w := newWatcher(t)
	w.Distributions = []string{"asp", "Опека", "КЦР"}
	require.ErrorIs(t, w.Check(t.Context(), src), fetch.ErrCredentials)
	require.Equal(t, 1, src.lists, "or the account is locked")
}

func TestWatchReportsAgainWhatFailed(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	src.put("/asp/7.11.100/Setup.exe", 10, old)
	w.sees(t, src, "released: /asp/7.11.100, there at the first check")
	first := w.now.Add(time.Hour)
	src.put(setup1, 10, old)
	src.put(setup2, 10, old)
	w.now, w.reports = first, nil
	w.fail = func(s watch.Sighting) error {
		if s.Version.String() == "7.12.100" {
			return errors.New("mail server says no")
		}
		return nil
	}
	err := w.Check(t.Context(), src)
	require.ErrorContains(t, err, "report released: /asp/7.12.100: mail server says no; the next check reports it again")
	require.Equal(t, []string{"released: /asp/7.12.200"}, w.reports, "one that fails holds up no other")

	// Later with today's files, and the time of old.
	src.put(setup1, 11, old)
	require.Error(t, w.Check(t.Context(), src))
	w.fail = nil
	w.sees(t, src, "released: /asp/7.12.100")
	require.Equal(t, first, w.last.FirstSeen)
	require.Equal(t, int64(11), w.last.Files[0].Size)

	// What is gone again by then is reported, in order; and even while the
	// server is down.
	w.fail = func(watch.Sighting) error { return errors.New("no") }
	src.put("/asp/7.12.300/Setup.exe", 10, old)
	require.Error(t, w.Check(t.Context(), src))
	src.remove("/asp/7.12.300/Setup.exe")
	require.Error(t, w.Check(t.Context(), src))
	w.fail, w.reports = nil, nil
	src.list = func(string, []fetch.Entry) ([]fetch.Entry, error) {
		return nil, &fetch.Error{Op: "list", Err: fetch.ErrUnreachable}
	}
	require.ErrorIs(t, w.Check(t.Context(), src), fetch.ErrUnreachable)
	require.Equal(t, []string{"released: /asp/7.12.300", "vanished: /asp/7.12.300"}, w.reports)
}

func TestWatchVanishedAndBackBeforeTheReport(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	src.put(setup1, 10, old)
	src.put(setup2, 10, old)
	w.sees(t, src, "released: /asp/7.12.100, there at the first check", "released: /asp/7.12.200, there at the first check")
	for size, want := range map[int64][]string{10: nil, 12: {"re-released: /asp/7.12.100"}} {
		src.remove(setup1)
		w.fail = func(watch.Sighting) error { return errors.New("no") }
		require.Error(t, w.Check(t.Context(), src))
		src.put(setup1, size, old)
		w.fail = nil
		w.sees(t, src, want...)
		src.put(setup1, 10, old)
		require.NoError(t, w.Check(t.Context(), src))
	}
}

func TestWatchNeedsToKnowWhatAndWhereTo(t *testing.T) {
	for want, spoil := range map[string]func(*watch.Watch){
		"set Watch.File":          func(w *watch.Watch) { w.File = "" },
		"set Watch.Report":        func(w *watch.Watch) { w.Report = nil },
		"set Watch.Distributions": func(w *watch.Watch) { w.Distributions = nil },
		"unsafe name":             func(w *watch.Watch) { w.Distributions = []string{"asp", "../x"} },
		"read layout":             func(w *watch.Watch) { w.Finder.Layout.Patterns = []string{"{version}"} },
	} {
		w := newWatcher(t)
		spoil(w.Watch)
		require.ErrorContains(t, w.Check(t.Context(), &shelf{}), want)
		require.ErrorContains(t, w.Run(t.Context(), &shelf{}), want)
	}
	_, err := (&watch.Watch{}).Seen()
	require.ErrorContains(t, err, "set Watch.File")
	seen, err := newWatcher(t).Seen()
	require.NoError(t, err)
	require.Empty(t, seen, "before the first check")
}

func TestR5WatchReportsLateOnce(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	src.put("/asp/readme.txt", 1, old)
	due := lab.Now.Add(time.Hour)
	var given []watch.Seen
	w.Late = func(distribution string, seen []watch.Seen, at time.Time) (time.Time, error) {
		require.Equal(t, "asp", distribution)
		require.Equal(t, w.now, at)
		given = seen
		return due, nil
	}
	late := func(d time.Time) string { return "late: asp, due since " + d.Format("2006-01-02 15:04 MST") }
	w.fail = func(watch.Sighting) error { return errors.New("no") }
	require.Error(t, w.Check(t.Context(), src))
	w.fail = nil
	w.sees(t, src, late(due))
	require.Equal(t, watch.Late, w.last.Kind)
	require.True(t, due.Equal(w.last.Due))
	w.sees(t, src)
	due = due.Add(14 * 24 * time.Hour)
	w.sees(t, src, late(due))
	due = due.Add(-14 * 24 * time.Hour)
	w.sees(t, src) // a clock that jumped back

	src.put(setup1, 10, old)
	due = time.Time{}
	w.sees(t, src, "released: /asp/7.12.100")
	require.Len(t, given, 1, "what the check itself found counts")

	w.Late = func(string, []watch.Seen, time.Time) (time.Time, error) {
		return time.Time{}, errors.New("beyond the data")
	}
	require.ErrorContains(t, w.Check(t.Context(), src), "beyond the data")

	// A server that is not there says nothing of what is late.
	asked := false
	w.Late = func(string, []watch.Seen, time.Time) (time.Time, error) { asked = true; return lab.Now, nil }
	src.files = nil
	require.Error(t, w.Check(t.Context(), src))
	require.False(t, asked)
}

// A hash that was left behind does not hide that its version is gone.
func TestWatchASidecarAloneHasVanished(t *testing.T) {
	s := fetchtest.New(t)
	s.Put("/asp/7.12.100/Setup.exe", []byte("x"), lab.Released)
	s.Put("/asp/7.12.100/Setup.exe.sha256", []byte("x"), lab.Released)
	s.Put("/asp/7.12.100/Setup.sha256", []byte("x"), lab.Released)
	s.Put("/asp/7.12.200/Setup.exe.sha256", []byte("x"), lab.Released)
	w := newWatcher(t)
	w.sees(t, lab.Client(s), "released: /asp/7.12.100, there at the first check")
	s.Remove("/asp/7.12.100/Setup.exe")
	w.sees(t, lab.Client(s), "vanished: /asp/7.12.100")
}

// A directory that cannot be read whole has not vanished.
func TestATreeWithAnUnreadableLineHasNotVanished(t *testing.T) {
	src := lab.Listings{
		"/asp":                {{Name: "7.12.100", Kind: fetch.KindDir}},
		"/asp/7.12.100":       {{Name: "Setup", Kind: fetch.KindDir}},
		"/asp/7.12.100/Setup": {{Name: "a.exe", Size: 1, Time: old}},
	}
	w := newWatcher(t)
	w.sees(t, src, "released: /asp/7.12.100, there at the first check")
	src["/asp/7.12.100/Setup"] = append(src["/asp/7.12.100/Setup"], fetch.Entry{Name: "????", Kind: fetch.KindUnreadable, Size: -1})
	w.sees(t, src)
	delete(src, "/asp/7.12.100")
	src["/asp"] = []fetch.Entry{}
	w.sees(t, src, "vanished: /asp/7.12.100")
}
