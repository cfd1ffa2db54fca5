package mssql

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/backup"
)

// live reports what has the live name, and what is kept aside.
func (w *world) holds() (live string, aside []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	live = "missing"
	for name, d := range w.dbs {
		switch {
		case d.State != online || d.Foreign && name != liveName: // half made, or another's
		case name == liveName:
			live = d.data()
		case strings.HasPrefix(name, liveName+"_aspupdate_"):
			aside = append(aside, d.data())
		}
	}
	return live, aside
}

// beside returns the kinds of databases beside the live one.
func (w *world) beside() (kinds []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, d := range w.dbs {
		if rest, ok := strings.CutPrefix(name, liveName+"_aspupdate_"); ok && !d.Foreign {
			kind, _, _ := strings.Cut(rest, "_")
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// exchanged returns the files that are left in the exchange directory.
func (w *world) left(t require.TestingT) []os.DirEntry {
	list, err := os.ReadDir(w.db.Dir)
	require.NoError(t, err)
	return list
}

// kill runs do once for each of its statements that change something, with a fault at
// that one, and calls check after a new start. do ends with a run without a fault.
func (w *world) kill(t *testing.T, mode when, kills bool, do func() error, check func(statement string, err error)) {
	t.Helper()
	for n := 1; ; n++ {
		require.Less(t, n, 60, "too many statements")
		w.fail(n, mode, kills)
		err := do()
		met := w.met
		w.reborn()
		if met == "" {
			require.NoError(t, err)
			require.Greater(t, n, 1, "too few statements")
			return
		}
		check(met, err)
	}
}

// faults runs a test with each kind of fault.
func faults(t *testing.T, test func(t *testing.T, mode when, kills bool)) {
	for mode, name := range map[when]string{before: "before", during: "during", after: "after"} {
		for _, kills := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, killed %v", name, kills), func(t *testing.T) { test(t, mode, kills) })
		}
	}
}

// The live name has the old database or the new one, whole; the old one is kept until
// Discard. Where the program was killed between the two renames, nothing has the name
// until its next call.
func TestFaultAtEveryStatementOfARestore(t *testing.T) {
	faults(t, func(t *testing.T, mode when, kills bool) {
		w := newWorld(t)
		old := w.state()
		snap := w.take(t)
		w.update()
		changed := w.state()
		var r backup.Restored
		w.kill(t, mode, kills, func() (err error) {
			r, err = w.store.Restore(t.Context(), snap.ID, w.db)
			return err
		}, func(statement string, err error) {
			live, aside := w.holds()
			require.Contains(t, append(aside, live), changed, "at no time is there only the new one: %s", statement)
			require.NoError(t, w.db.Close(t.Context()), "any call recovers: %s", statement)
			live, aside = w.holds()
			require.Contains(t, []string{old, changed}, live, statement)
			require.NotContains(t, w.beside(), "new", statement)
			require.Empty(t, w.left(t), statement)
			if live == old { // the swap had happened
				require.Contains(t, aside, changed, statement)
				if err != nil {
					require.True(t, kills, "after an error the live data is as it was: %s", statement)
				}
				// Back to where it was, as an operator would after a crash: a restore keeps the old.
				w.swapBack(t)
			} else {
				require.Error(t, err, statement)
			}
			require.Equal(t, changed, w.state(), statement)
		})
		require.Equal(t, old, w.state())
		require.Equal(t, []string{"old"}, w.beside())
		require.NoError(t, r.Undo(t.Context()))
		require.Equal(t, changed, w.state())
		require.Empty(t, w.beside())
	})
}

// swapBack undoes a restore whose Restored died with its process.
func (w *world) swapBack(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	for name, d := range w.dbs {
		if strings.HasPrefix(name, liveName+"_aspupdate_old_") {
			w.dbs[liveName] = d
			delete(w.dbs, name)
		}
	}
	w.mu.Unlock()
	require.NoError(t, w.db.Close(t.Context()), "settles the broker")
}

func TestFaultAtEveryStatementOfAnUndo(t *testing.T) {
	faults(t, func(t *testing.T, mode when, kills bool) {
		w := newWorld(t)
		old := w.state()
		snap := w.take(t)
		w.update()
		changed := w.state()
		r, err := w.store.Restore(t.Context(), snap.ID, w.db)
		require.NoError(t, err)
		want := old
		w.kill(t, mode, kills, func() error { return r.Undo(t.Context()) }, func(statement string, _ error) {
			require.NoError(t, w.db.Close(t.Context()), "any call recovers: %s", statement)
			if got := w.state(); got != want { // the swap is what changes it
				require.Equal(t, changed, got, statement)
				want = changed
			} else if want == old {
				require.Equal(t, []string{"old"}, w.beside(), statement)
			}
		})
		require.Equal(t, changed, w.state())
		require.Empty(t, w.beside())
	})
}

func TestFaultAtEveryStatementOfABackup(t *testing.T) {
	faults(t, func(t *testing.T, mode when, kills bool) {
		w := newWorld(t)
		old := w.state()
		for n := 1; ; n++ {
			w.fail(n, mode, kills)
			_, err := w.store.Take(t.Context(), "x", w.db)
			met := w.met
			w.reborn()
			if met == "" {
				require.NoError(t, err)
				require.Greater(t, n, 1)
				break
			}
			require.Error(t, err, met)
			require.NoError(t, w.db.Close(t.Context()), met)
			require.Equal(t, old, w.state(), met)
			require.Empty(t, w.left(t), met)
		}
		require.Empty(t, w.left(t))
	})
}

func TestFaultAtEveryStatementOfAProofAndOfTheRest(t *testing.T) {
	faults(t, func(t *testing.T, mode when, kills bool) {
		w := newWorld(t)
		snap := w.take(t)
		w.update()
		changed := w.state()
		w.kill(t, mode, kills, func() error {
			_, err := w.store.Prove(t.Context(), snap.ID, w.db)
			return err
		}, func(statement string, _ error) {
			require.NoError(t, w.db.Close(t.Context()), statement)
			require.Equal(t, changed, w.state(), statement)
			require.Empty(t, w.beside(), statement)
			require.Empty(t, w.left(t), statement)
		})
		old := w.state()
		_, err := w.store.Restore(t.Context(), snap.ID, w.db)
		require.NoError(t, err)
		live := w.state()
		require.NotEqual(t, old, live)
		for n := 1; n < 3; n++ {
			for name, do := range map[string]func() error{
				"tidy": func() error { return w.db.Tidy(t.Context()) }, "open": func() error { return w.db.Open(t.Context()) },
				"close": func() error { return w.db.Close(t.Context()) },
			} {
				w.fail(n, mode, kills)
				_ = do()
				w.reborn()
				require.NoError(t, do(), name)
				require.Equal(t, live, w.state(), name)
			}
		}
		require.Empty(t, w.beside())
	})
}

// steps counts what the model did in this process.
var steps int

// TestModel makes random calls with random faults and compares the server with what
// must be there: 10,000 of them with ASPUPDATE_SOAK=1.
func TestModel(t *testing.T) {
	most := 250
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		most = 10000
	}
	for steps = 0; steps < most; {
		rapid.Check(t, func(rt *rapid.T) { model(t, rt, most) })
		if t.Failed() {
			return
		}
	}
	t.Logf("%d steps", steps)
}

// A snapshot of the model prints as its ID.
type snapshot struct {
	dir, state string
	meta       backup.Meta
}

func (s snapshot) GoString() string { return filepath.Base(s.dir) }

func model(t *testing.T, rt *rapid.T, most int) {
	if steps >= most {
		return
	}
	exchange, err := os.MkdirTemp(t.TempDir(), "")
	require.NoError(rt, err)
	snapshots, err := os.MkdirTemp(t.TempDir(), "")
	require.NoError(rt, err)
	w := &world{sim: newSim()}
	w.add(liveName)
	w.db = w.newTarget(exchange, "x")
	w.db.name = liveName
	require.NoError(rt, w.db.Close(t.Context()))

	var snaps []snapshot
	live, kept := w.state(), map[string]bool{} // kept: states that must be there
	var last backup.Restored
	var lastOld string
	superseded := false // by a later restore
	for _, kind := range []string{"new", "old", "undone"} {
		w.stranger(liveName + "_aspupdate_" + kind + "_0123456789ab")
	}

	// call makes a call with a fault at some statement, recovers, and returns whether it
	// was interrupted.
	call := func(rt *rapid.T, name string, do func() error) bool {
		steps++
		mode := rapid.SampledFrom([]when{never, before, during, after}).Draw(rt, "mode")
		w.fail(rapid.IntRange(1, 30).Draw(rt, "at"), mode, rapid.Bool().Draw(rt, "kills"))
		// Somebody else makes a database under the live name as soon as it is free.
		if rapid.IntRange(0, 3).Draw(rt, "stranger") == 0 {
			w.interlude = func(string) {
				if w.dbs[liveName] == nil {
					w.stranger(liveName)
				}
			}
		}
		foreign := len(w.strangers())
		err := do()
		met := w.met
		w.interlude = nil
		taken := w.dbs[liveName].isForeign()
		require.GreaterOrEqual(rt, len(w.strangers()), foreign, "%s, fault at %q: a database of somebody else is gone", name, met)
		have, aside := w.holds()
		for state := range kept {
			require.Contains(rt, append(aside, have), state, "%s, fault at %q: what must be kept is gone", name, met)
		}
		w.reborn()
		if taken {
			strangers := w.strangers()
			require.ErrorIs(rt, w.db.Tidy(t.Context()), backup.ErrBusy)
			require.ErrorIs(rt, w.db.Close(t.Context()), backup.ErrBusy)
			require.Equal(rt, strangers, w.strangers())
			w.moveAway()
		}
		require.NoError(rt, w.db.Close(t.Context()), "%s, fault at %q: the next call", name, met)
		if !taken && (mode == never || met == "") {
			require.NoError(rt, err, name)
			return false
		}
		return true
	}
	rt.Repeat(map[string]func(*rapid.T){
		"update": func(rt *rapid.T) {
			steps++
			delete(kept, live)
			w.update()
			live = w.state()
		},
		"take": func(rt *rapid.T) {
			snap := snapshot{state: live}
			snap.dir, err = os.MkdirTemp(snapshots, "")
			require.NoError(rt, err)
			call(rt, "take", func() (err error) { snap.meta, err = w.db.Backup(t.Context(), snap.dir); return err })
			if snap.meta.Kind != "" {
				snaps = append(snaps, snap)
			}
			require.Equal(rt, live, w.state())
		},
		"prove": func(rt *rapid.T) {
			if len(snaps) == 0 {
				return
			}
			s := rapid.SampledFrom(snaps).Draw(rt, "snapshot")
			call(rt, "prove", func() error { return w.db.Prove(t.Context(), s.dir, s.meta) })
			require.Equal(rt, live, w.state())
		},
		"restore": func(rt *rapid.T) {
			if len(snaps) == 0 {
				return
			}
			s := rapid.SampledFrom(snaps).Draw(rt, "snapshot")
			kept[live] = true
			was := w.dbs[liveName].GUID
			var r backup.Restored
			call(rt, "restore", func() (err error) { r, err = w.db.Restore(t.Context(), s.dir, s.meta); return err })
			got := w.state()
			require.Contains(rt, []string{live, s.state}, got, "the old or the new, whole")
			if r != nil {
				require.Equal(rt, s.state, got)
				last, lastOld, superseded = r, live, false
			} else if w.dbs[liveName].GUID != was {
				superseded = true
			}
			if got != live {
				_, aside := w.holds()
				require.Contains(rt, aside, live, "the old one is kept")
			} else if r == nil {
				delete(kept, live)
			}
			live = got
		},
		"undo": func(rt *rapid.T) {
			if last == nil {
				return
			}
			if superseded {
				require.ErrorIs(rt, last.Undo(t.Context()), backup.ErrIncompatible)
				require.Equal(rt, live, w.state())
				return
			}
			interrupted := call(rt, "undo", func() error { return last.Undo(t.Context()) })
			got := w.state()
			if !interrupted {
				require.Equal(rt, lastOld, got)
			}
			require.Contains(rt, []string{lastOld, live}, got)
			if got == lastOld {
				last = nil
			}
			live = got
		},
		"tidy": func(rt *rapid.T) {
			kept, last = map[string]bool{live: true}, nil
			call(rt, "tidy", func() error { return w.db.Tidy(t.Context()) })
			require.Equal(rt, live, w.state())
		},
		"open and close": func(rt *rapid.T) {
			call(rt, "open", func() error { return w.db.Open(t.Context()) })
			require.Equal(rt, live, w.state())
		},
		"": func(rt *rapid.T) {
			closed, err := w.db.Closed(t.Context())
			require.NoError(rt, err)
			require.True(rt, closed)
			require.NotContains(rt, w.beside(), "new")
			require.NotContains(rt, w.beside(), "undone")
			require.Empty(rt, w.left(rt))
			require.Empty(rt, w.violations)
		},
	})
}
