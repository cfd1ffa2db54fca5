package watch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/fetch/watch"
)

func TestWatchCrashBetweenReportAndMemory(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	src.put(setup1, 10, old)
	src.put(setup2, 10, old)
	for _, number := range []string{"7.12.100", "7.12.200"} {
		w.fail = func(s watch.Sighting) error {
			if s.Version.String() == number {
				panic("power cut")
			}
			return nil
		}
		require.Panics(t, func() { _ = w.Check(t.Context(), src) })
	}
	w.fail = nil
	w.sees(t, src, "released: /asp/7.12.200, there at the first check")

	// A canceled one stops, forgets nothing, and needs no second check of what it did.
	src.put("/asp/7.12.300/Setup.exe", 10, old)
	src.put("/asp/7.12.400/Setup.exe", 10, old)
	ctx, cancel := context.WithCancel(t.Context())
	w.fail = func(watch.Sighting) error { cancel(); return nil }
	w.reports = nil
	require.ErrorIs(t, w.Check(ctx, src), context.Canceled)
	require.Equal(t, []string{"released: /asp/7.12.300"}, w.reports)
	w.fail = nil
	w.sees(t, src, "released: /asp/7.12.400")
}

func TestWatchReportsNothingThatItCannotRemember(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	src.put(setup1, 10, old)
	src.list = func(dir string, all []fetch.Entry) ([]fetch.Entry, error) {
		return all, os.MkdirAll(w.File, 0o700) // a directory where the file should be
	}
	require.ErrorContains(t, w.Check(t.Context(), src), "nothing is reported that cannot be remembered")
	require.Empty(t, w.reports)

	src.list = nil
	require.NoError(t, os.Remove(w.File))
	w.fail = func(watch.Sighting) error { return errors.Join(os.Remove(w.File), os.Mkdir(w.File, 0o700)) }
	src.put(setup2, 10, old)
	require.ErrorContains(t, w.Check(t.Context(), src), "remember")
	require.Len(t, w.reports, 1, "nor is anything after it")
}

func TestWatchMemoryIsTheOwnersAlone(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	src.put(setup1, 10, old)
	w.sees(t, src, "released: /asp/7.12.100, there at the first check")
	fi, err := os.Stat(w.File)
	require.NoError(t, err)
	if fi.Mode().Perm()&0o200 != 0 && filepath.Separator == '/' {
		require.Equal(t, os.FileMode(0o600), fi.Mode().Perm())
	}
	names, err := filepath.Glob(filepath.Join(filepath.Dir(w.File), "*"))
	require.NoError(t, err)
	require.Equal(t, []string{w.File, w.File + ".lock"}, names)
}

func TestWatchADamagedMemoryIsAnError(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	src.put(setup1, 10, old)
	w.sees(t, src, "released: /asp/7.12.100, there at the first check")
	good, err := os.ReadFile(w.File)
	require.NoError(t, err)
	for text, want := range map[string]string{
		"":                         "move it away",
		"{}":                       "move it away",
		string(good[:len(good)/2]): "move it away",
		string(good) + "x":         "move it away",
		`{"format":2}`:             "update the program",
		`{"format":1,"distributions":{"asp":null}}`:                                                     "move it away",
		`{"format":1,"distributions":{"..":{"versions":[]}}}`:                                           "move it away",
		strings.Replace(string(good), `"7.12.100"`, `"7.4.1"`, 1):                                       "move it away",
		strings.Replace(string(good), `"7.12.100"`, `""`, 1):                                            "move it away",
		strings.Replace(string(good), `"first_look": true`, `"first_look": true, "owed": ["eaten"]`, 1): "move it away",
	} {
		require.NoError(t, os.WriteFile(w.File, []byte(text), 0o600))
		w.reports = nil
		for _, err := range []error{w.Check(t.Context(), src), w.Run(t.Context(), src)} {
			require.ErrorContains(t, err, w.File, text)
			require.ErrorContains(t, err, want, text)
		}
		_, err := w.Seen()
		require.ErrorContains(t, err, want, text)
		require.Empty(t, w.reports)
		left, err := os.ReadFile(w.File)
		require.NoError(t, err)
		require.Equal(t, text, string(left), "the evidence is left as it is")
	}
	require.NoError(t, os.WriteFile(w.File, good, 0o600))
	w.sees(t, src)
}

func TestWatchForgetsAndIsBounded(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	src.put(setup1, 10, old)
	src.put(setup2, 10, old)
	w.sees(t, src, "released: /asp/7.12.100, there at the first check", "released: /asp/7.12.200, there at the first check")
	src.remove(setup1)
	w.sees(t, src, "vanished: /asp/7.12.100")
	w.now = w.now.Add(399 * 24 * time.Hour)
	w.sees(t, src)
	w.seen(t, "7.12.100")
	w.now = w.now.Add(2 * 24 * time.Hour)
	w.sees(t, src)
	all, err := w.Seen()
	require.NoError(t, err)
	require.Len(t, all, 1)

	// A server with more versions than there can be.
	many := &shelf{list: func(string, []fetch.Entry) (all []fetch.Entry, _ error) {
		for i := range 2001 {
			all = append(all, fetch.Entry{Name: fmt.Sprintf("Setup_7.12.%d.exe", 100+i), Size: 1, Time: old})
		}
		return all, nil
	}}
	w.reports = nil
	require.ErrorContains(t, w.Check(t.Context(), many), "2001 versions, more than any vendor has")
	require.Empty(t, w.reports)
	w.sees(t, src)
}

// Two of them with one file: nothing is reported twice, nothing is lost.
func TestWatchTwoWithOneFile(t *testing.T) {
	src := &shelf{}
	file := filepath.Join(t.TempDir(), "seen.json")
	var mu sync.Mutex
	count := map[string]int{}
	var both sync.WaitGroup
	for i := range 40 {
		src.put(fmt.Sprintf("/asp/7.12.%d/Setup.exe", 100+i), 10, old)
	}
	for range 2 {
		w := newWatcher(t)
		w.File = file
		w.Report = func(_ context.Context, s watch.Sighting) error {
			mu.Lock()
			defer mu.Unlock()
			count[s.Version.String()]++
			return nil
		}
		both.Go(func() {
			for range 3 {
				if err := w.Check(t.Context(), src); err != nil {
					t.Error(err)
				}
				if _, err := w.Seen(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	require.Len(t, count, 40)
	for v, n := range count {
		require.Equal(t, 1, n, v)
	}
}

func TestWatchClockSetBack(t *testing.T) {
	src := &shelf{}
	w := newWatcher(t)
	src.put(setup1, 10, old)
	src.put(setup2, 10, old)
	w.now = lab.Now.AddDate(10, 0, 0)
	w.sees(t, src, "released: /asp/7.12.100, there at the first check", "released: /asp/7.12.200, there at the first check")
	w.now = lab.Now
	w.sees(t, src)
	src.remove(setup2)
	w.sees(t, src, "vanished: /asp/7.12.200")
	for _, number := range []string{"7.12.100", "7.12.200"} {
		s := w.seen(t, number)
		require.False(t, !s.Gone.IsZero() && s.Gone.Before(s.FirstSeen))
	}
}
