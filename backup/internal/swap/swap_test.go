package swap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// A world is a place with contents: a directory, or a map that stands for a server.
type world struct {
	live       string
	companions []string
	place      Place
	write      func(name, text string)
	contents   func() map[string]string // by name, the live one being "live"
}

// server is a place in memory.
type server map[string]string

func (m server) List(ctx context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(m)), ctx.Err()
}

func (m server) Rename(ctx context.Context, from, to string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, ok := m[from]; !ok {
		return fs.ErrNotExist
	}
	if _, ok := m[to]; ok {
		return fs.ErrExist
	}
	m[to] = m[from]
	delete(m, from)
	return nil
}

func (m server) Drop(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if _, ok := m[name]; !ok {
		return fs.ErrNotExist
	}
	delete(m, name)
	return nil
}

func newServer() *world {
	m := server{}
	return &world{
		live: "live", place: m,
		write:    func(name, text string) { m[name] = text },
		contents: func() map[string]string { return maps.Clone(m) },
	}
}

func newDirectory(t *testing.T, companions ...string) *world {
	t.Helper()
	s, err := At(filepath.Join(t.TempDir(), "live"), companions...)
	require.NoError(t, err)
	return &world{
		live: s.Live, companions: companions, place: s.Place,
		write: func(name, text string) { require.NoError(t, os.WriteFile(name, []byte(text), 0o600)) },
		contents: func() map[string]string {
			all := map[string]string{}
			entries, err := os.ReadDir(filepath.Dir(s.Live))
			require.NoError(t, err)
			for _, e := range entries {
				text, err := os.ReadFile(filepath.Join(filepath.Dir(s.Live), e.Name()))
				require.NoError(t, err)
				all[e.Name()] = string(text)
			}
			return all
		},
	}
}

func (w *world) slot(p Place) *Slot { return &Slot{Live: w.live, Place: p, companions: w.companions} }

func (w *world) build(name string) error { w.write(name, "restored"); return nil }

// fill makes the live data, whose companion is in the way of nothing but itself.
func (w *world) fill() {
	w.write(w.live, "before")
	for _, c := range w.companions {
		w.write(w.live+c, "before"+c)
	}
}

// requireWhole asserts that the live name has one of the states, with its own
// companions and no others, and that beside it is only what was kept aside: the
// data of before, while what was restored is live.
func (w *world) requireWhole(t *testing.T, states ...string) {
	t.Helper()
	got := w.contents()
	state := got["live"]
	require.Contains(t, states, state, "%v", got)
	want := map[string]string{"live": state}
	if state == "" {
		delete(want, "live")
	}
	for name := range got {
		if rest, ok := strings.CutPrefix(name, "live_aspupdate_old_"); ok && state == "restored" {
			require.Regexp(t, `^[0-9a-f]{12}`, rest)
			want[name] = "before" + rest[12:]
		}
	}
	if state == "before" {
		for _, c := range w.companions {
			want["live"+c] = "before" + c
		}
	}
	require.Equal(t, want, got)
}

var errCut = errors.New("cut short")

// A cut fails the call number at of a place: that one alone, or, as a killed
// process does, all that come after it as well.
type cut struct {
	Place
	at, calls int
	dead      bool
}

func (c *cut) next() error {
	c.calls++
	if c.calls == c.at || c.dead && c.calls > c.at {
		return errCut
	}
	return nil
}

func (c *cut) List(ctx context.Context) ([]string, error) {
	if err := c.next(); err != nil {
		return nil, err
	}
	return c.Place.List(ctx)
}

func (c *cut) Rename(ctx context.Context, from, to string) error {
	if err := c.next(); err != nil {
		return err
	}
	return c.Place.Rename(ctx, from, to)
}

func (c *cut) Drop(ctx context.Context, name string) error {
	if err := c.next(); err != nil {
		return err
	}
	return c.Place.Drop(ctx, name)
}

// everyWorld runs a test for each kind of place, with and without companions.
func everyWorld(t *testing.T, test func(t *testing.T, fresh func(t *testing.T) *world)) {
	for name, fresh := range map[string]func(t *testing.T) *world{
		"server":     func(*testing.T) *world { return newServer() },
		"directory":  func(t *testing.T) *world { return newDirectory(t) },
		"companions": func(t *testing.T) *world { return newDirectory(t, "-wal", "-shm") },
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh) })
	}
}

// recoverCut recovers with a kill at each call first, as many as it makes.
func recoverCut(t *testing.T, w *world) {
	t.Helper()
	for at := 1; ; at++ {
		require.Less(t, at, 100)
		if w.slot(&cut{Place: w.place, at: at, dead: true}).Recover(t.Context()) == nil {
			break
		}
	}
	require.NoError(t, w.slot(w.place).Recover(t.Context()))
}

// everyCut runs step with a cut at each call that it makes, in a fresh world
// each time, and then check. The last run is not cut.
func everyCut(t *testing.T, dead bool, run func(t *testing.T, c *cut) (finished bool)) {
	t.Helper()
	for at := 1; ; at++ {
		require.Less(t, at, 100)
		finished := false
		t.Run(fmt.Sprintf("call %d", at), func(t *testing.T) {
			finished = run(t, &cut{at: at, dead: dead})
		})
		if finished || t.Failed() {
			require.Greater(t, at, 2, "it made no calls to be cut at")
			return
		}
	}
}

func TestR15RestoreKilledAtEveryCall(t *testing.T) {
	everyWorld(t, func(t *testing.T, fresh func(t *testing.T) *world) {
		everyCut(t, true, func(t *testing.T, c *cut) bool {
			w := fresh(t)
			w.fill()
			c.Place = w.place
			_, err := w.slot(c).Restore(t.Context(), w.live, w.build)
			if err != nil {
				require.ErrorIs(t, err, errCut)
			}
			recoverCut(t, w)
			if err == nil {
				w.requireWhole(t, "restored")
			} else {
				w.requireWhole(t, "before", "restored")
			}
			return c.calls < c.at
		})
	})
}

func TestR15UndoKilledAtEveryCall(t *testing.T) {
	t.Run("recovered by another run", func(t *testing.T) { undoKilledAtEveryCall(t, false) })
	t.Run("repeated", func(t *testing.T) { undoKilledAtEveryCall(t, true) })
}

func undoKilledAtEveryCall(t *testing.T, byUndo bool) {
	everyWorld(t, func(t *testing.T, fresh func(t *testing.T) *world) {
		everyCut(t, true, func(t *testing.T, c *cut) bool {
			w := fresh(t)
			w.fill()
			r, err := w.slot(w.place).Restore(t.Context(), w.live, w.build)
			require.NoError(t, err)
			for _, companion := range w.companions {
				w.write(w.live+companion, "restored"+companion) // the application ran meanwhile
			}
			c.Place = w.place
			r.slot = w.slot(c)
			cutErr := r.Undo(t.Context())
			if byUndo {
				r.slot = w.slot(w.place)
				require.NoError(t, r.Undo(t.Context()), "it can be repeated")
				w.requireWhole(t, "before")
				return c.calls < c.at
			}
			recoverCut(t, w)
			if w.contents()["live"] == "restored" {
				require.ErrorIs(t, cutErr, errCut)
				r.slot = w.slot(w.place)
				require.NoError(t, r.Undo(t.Context()), "it can be repeated")
			}
			w.requireWhole(t, "before")
			return c.calls < c.at
		})
	})
}

// One call fails and the process lives on: what was live is live again when
// Restore returns, and an Undo that returns no error has happened.
func TestR15OneCallFails(t *testing.T) {
	everyWorld(t, func(t *testing.T, fresh func(t *testing.T) *world) {
		everyCut(t, false, func(t *testing.T, c *cut) bool {
			w := fresh(t)
			w.fill()
			c.Place = w.place
			_, err := w.slot(c).Restore(t.Context(), w.live, w.build)
			if err != nil {
				w.requireWholeOnceRecovered(t, "before")
			} else {
				w.requireWhole(t, "restored")
			}
			return c.calls < c.at
		})
		everyCut(t, false, func(t *testing.T, c *cut) bool {
			w := fresh(t)
			w.fill()
			r, err := w.slot(w.place).Restore(t.Context(), w.live, w.build)
			require.NoError(t, err)
			c.Place = w.place
			r.slot = w.slot(c)
			for range 3 {
				if err = r.Undo(t.Context()); err == nil {
					break
				}
			}
			require.NoError(t, err, "repeated, it succeeds")
			w.requireWhole(t, "before")
			return c.calls < c.at
		})
	})
}

// requireWholeOnceRecovered allows what a failed clean-up has left for the next Recover.
func (w *world) requireWholeOnceRecovered(t *testing.T, state string) {
	t.Helper()
	require.Equal(t, state, w.contents()["live"])
	require.NoError(t, w.slot(w.place).Recover(t.Context()))
	w.requireWhole(t, state)
}

// Where nothing was live, a companion without its main file would be replayed
// into the restored data; Undo frees the name again.
func TestR15RestoreToAFreeName(t *testing.T) {
	everyWorld(t, func(t *testing.T, fresh func(t *testing.T) *world) {
		everyCut(t, true, func(t *testing.T, c *cut) bool {
			w := fresh(t)
			for _, companion := range w.companions {
				w.write(w.live+companion, "stray"+companion)
			}
			c.Place = w.place
			r, err := w.slot(c).Restore(t.Context(), "another name", w.build)
			if err != nil {
				require.NoError(t, w.slot(w.place).Recover(t.Context()))
				require.Contains(t, []string{"", "restored"}, w.contents()["live"])
				return false
			}
			w.requireWhole(t, "restored")
			r.slot = w.slot(w.place)
			require.NoError(t, r.Undo(t.Context()))
			require.NoError(t, r.Undo(t.Context()), "repeating is fine")
			w.requireWhole(t, "")
			return c.calls < c.at
		})
	})
}

func TestRestoreRefusesOtherData(t *testing.T) {
	w := newServer()
	w.fill()
	_, err := w.slot(w.place).Restore(t.Context(), "another", func(string) error {
		require.Fail(t, "nothing is built")
		return nil
	})
	require.ErrorIs(t, err, backup.ErrIncompatible)
	w.requireWhole(t, "before")
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	everyWorld(t, func(t *testing.T, fresh func(t *testing.T) *world) {
		w := fresh(t)
		w.fill()
		ctx, cancel := context.WithCancel(t.Context())
		build := func(name string) error {
			for _, c := range append([]string{""}, w.companions...) {
				w.write(name+c, "half made")
			}
			cancel()
			return ctx.Err()
		}
		_, err := w.slot(w.place).Restore(ctx, w.live, build)
		require.ErrorIs(t, err, context.Canceled)
		w.requireWhole(t, "before")
		require.ErrorIs(t, w.slot(w.place).Try(ctx, build), context.Canceled)
		w.requireWhole(t, "before")
		require.NoError(t, w.slot(w.place).Try(t.Context(), w.build))
		w.requireWhole(t, "before")
		_, err = w.slot(w.place).Restore(ctx, w.live, w.build)
		require.ErrorIs(t, err, context.Canceled, "before the swap")
		w.requireWhole(t, "before")
	})
}

// Recover knows a swap that was cut short by its mark: neither an old name
// alone nor a new one with another mark is one.
func TestRecoverGivesBackOnlyWhatWasCutShort(t *testing.T) {
	w := newServer()
	w.write("live_aspupdate_old_0123456789ab", "kept")
	w.write("live_aspupdate_new_ba9876543210", "half made")
	require.NoError(t, w.slot(w.place).Recover(t.Context()))
	require.Equal(t, map[string]string{"live_aspupdate_old_0123456789ab": "kept"}, w.contents())
	require.ErrorContains(t, w.slot(w.place).Tidy(t.Context()), "is all that is left")
	require.Len(t, w.contents(), 1)
}

// A kill while the undone data is renamed with its companions, and then while it
// is dropped, can leave a companion alone.
func TestRecoverDropsLoneCompanions(t *testing.T) {
	w := newDirectory(t, "-wal", "-shm")
	w.fill()
	w.write(w.live+"_aspupdate_new_0123456789ab-wal", "undone")
	w.write(w.live+"_aspupdate_undone_ba9876543210-shm", "undone")
	require.NoError(t, w.slot(w.place).Recover(t.Context()))
	w.requireWhole(t, "before")
}

// canceling ends the context at the first rename.
type canceling struct {
	Place
	cancel context.CancelFunc
}

func (c canceling) Rename(ctx context.Context, from, to string) error {
	c.cancel()
	return c.Place.Rename(ctx, from, to)
}

func TestSwapIsNotInterrupted(t *testing.T) {
	w := newServer()
	w.fill()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := w.slot(canceling{w.place, cancel}).Restore(ctx, w.live, w.build)
	require.NoError(t, err)
	require.Error(t, ctx.Err())
	w.requireWhole(t, "restored")

	ctx, cancel = context.WithCancel(t.Context())
	r.slot = w.slot(canceling{w.place, cancel})
	require.NoError(t, r.Undo(ctx))
	require.Error(t, ctx.Err())
	w.requireWhole(t, "before")
}

func TestForeignNamesStay(t *testing.T) {
	everyWorld(t, func(t *testing.T, fresh func(t *testing.T) *world) {
		w := fresh(t)
		w.fill()
		for _, name := range []string{"_aspupdate_old_", "_aspupdate_old_mine", "_aspupdate_new_0123456789abc", "2_aspupdate_old_0123456789ab", ".bak", "_aspupdate_new_0123456789AB"} {
			w.write(w.live+name, "a person's")
		}
		w.write(w.live+"_aspupdate_old_0123456789ab", "kept")
		before := w.contents()
		require.NoError(t, w.slot(w.place).Recover(t.Context()))
		require.Equal(t, before, w.contents())
		require.NoError(t, w.slot(w.place).Tidy(t.Context()))
		delete(before, "live_aspupdate_old_0123456789ab")
		require.Equal(t, before, w.contents())
	})
}

func TestDiscardDropsWhatWasLive(t *testing.T) {
	everyWorld(t, func(t *testing.T, fresh func(t *testing.T) *world) {
		w := fresh(t)
		w.fill()
		r, err := w.slot(w.place).Restore(t.Context(), w.live, w.build)
		require.NoError(t, err)
		require.NoError(t, r.Discard(t.Context()))
		require.Equal(t, map[string]string{"live": "restored"}, w.contents())
		require.NoError(t, r.Discard(t.Context()), "repeating is fine")
		require.NoError(t, r.Undo(t.Context()), "what is done is done")

		second, err := w.slot(w.place).Restore(t.Context(), w.live, w.build)
		require.NoError(t, err)
		require.NoError(t, w.slot(w.place).Tidy(t.Context()))
		require.ErrorContains(t, second.Undo(t.Context()), "nothing to go back to")
		w.requireWhole(t, "restored")
	})
}
