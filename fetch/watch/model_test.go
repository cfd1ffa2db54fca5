package watch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/fetch/watch"
)

// belief is what a receiver of reports believes of one version.
type belief struct {
	there bool
	size  int64 // of its Setup
	time  time.Time
}

// A vendor whose server has a random history, a Watch that is new for each
// check, a power cut, and a receiver that fails: what the receiver
// believes in the end is what a check found.
type world struct {
	dir      string
	src      stater
	now      time.Time
	blurred  bool // the listing shows local times, to the minute or the day
	seen     map[string]belief
	believed map[string]belief
	count    int // reports received
	crash    bool
}

func (m *world) belief(size int64, mod time.Time) belief {
	if m.blurred {
		mod = time.Time{}
	}
	return belief{true, size, mod}
}

func (m *world) believe(t *rapid.T, s watch.Sighting) {
	v := s.Version.String()
	was, ever := m.believed[v]
	_, real := m.seen[v]
	var now belief
	switch s.Kind {
	case watch.Released, watch.Rereleased:
		if len(s.Files) != 1 {
			t.Fatalf("%v has %d files", s, len(s.Files))
		}
		now = m.belief(s.Files[0].Size, s.Files[0].Time)
	case watch.Vanished:
		now = was
		now.there = false
	default:
		t.Fatalf("reported %v", s)
	}
	switch {
	case !real:
		t.Fatalf("%v was never on the server", s)
	case s.Kind == watch.Released && was.there, s.Kind == watch.Vanished && !was.there, s.Kind == watch.Rereleased && !ever,
		s.Kind == watch.Rereleased && now == was && !m.blurred:
		t.Fatalf("%v makes no sense to a receiver that believes %+v", s, was)
	}
	m.believed[v] = now
	m.count++
}

// check checks, and reports whether all succeeded.
func (m *world) check(t *rapid.T, failing bool) bool {
	m.now = m.now.Add(time.Duration(rapid.IntRange(1, 48*60).Draw(t, "minutes")) * time.Minute)
	w := &watch.Watch{
		Distributions: []string{"asp"}, File: filepath.Join(m.dir, "seen.json"), Now: func() time.Time { return m.now },
		Report: func(_ context.Context, s watch.Sighting) error {
			switch {
			case !failing:
			case rapid.IntRange(0, 3).Draw(t, "fails") == 0:
				return errors.New("no")
			case rapid.IntRange(0, 5).Draw(t, "crashes") == 0:
				m.crash = true
				panic(m)
			}
			m.believe(t, s)
			return nil
		},
	}
	present := map[string]belief{}
	for name, e := range m.src.files {
		v := filepath.Base(filepath.Dir(name))
		if e.Name == "Setup.exe" && m.now.Sub(e.Time) >= 10*time.Minute {
			present[v] = m.belief(e.Size, e.Time)
		}
	}
	maps.Copy(m.seen, present) // before the check, because a report asks whether it was there
	for v, f := range m.seen {
		if _, ok := m.src.files["/asp/"+v+"/Setup.exe"]; !ok {
			f.there = false
			m.seen[v] = f
		}
	}
	m.crash = false
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil && p != any(m) {
				panic(p)
			}
		}()
		return w.Check(context.Background(), m.src)
	}()
	if !failing && err != nil {
		t.Fatal(err)
	}
	return err == nil && !m.crash
}

func (m *world) agree(t *rapid.T) {
	for v, f := range m.seen {
		b, ok := m.believed[v]
		if !ok || b != f {
			t.Fatalf("%s: the server had %+v, reported was %+v (%t)", v, f, b, ok)
		}
	}
}

func TestWatchLaw(t *testing.T) {
	t.Parallel()
	root := lab.InMemory(t)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := filepath.Join(root, fmt.Sprint(n))
		m := &world{dir: dir, src: stater{&shelf{}}, now: lab.Now, seen: map[string]belief{}, believed: map[string]belief{}}
		m.src.put("/asp/readme.txt", 1, old)
		if m.blurred = rapid.Bool().Draw(t, "LIST"); m.blurred {
			m.src.list = asLIST(func() time.Time { return m.now })
		}
		name := rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("/asp/7.12.%d00/Setup.exe", rapid.IntRange(1, 3).Draw(t, "version"))
		})
		t.Repeat(map[string]func(*rapid.T){
			"upload": func(t *rapid.T) {
				m.now = m.now.Add(61 * time.Second)
				mod := m.now
				if mod.Second() == 0 {
					mod = mod.Add(-time.Second)
				}
				m.src.put(name.Draw(t, "name"), int64(rapid.IntRange(1, 3).Draw(t, "size")), mod)
			},
			"remove": func(t *rapid.T) { m.src.remove(name.Draw(t, "name")) },
			"check":  func(t *rapid.T) { m.check(t, false); m.agree(t) },
			"check and fail": func(t *rapid.T) {
				if m.check(t, true) {
					m.agree(t)
				}
			},
			"check a server that is down": func(t *rapid.T) {
				list := m.src.list
				m.src.list = func(string, []fetch.Entry) ([]fetch.Entry, error) {
					return nil, &fetch.Error{Op: "list", Err: fetch.ErrUnreachable}
				}
				seen := maps.Clone(m.seen)
				_ = m.check(t, true)
				m.seen = seen
				m.src.list = list
			},
		})
		m.now = m.now.Add(time.Hour) // until all has settled
		m.check(t, false)
		m.agree(t)
		count := m.count
		m.check(t, false)
		if m.count != count {
			t.Fatal("reported again what was reported")
		}
		_ = os.RemoveAll(dir)
	})
}
