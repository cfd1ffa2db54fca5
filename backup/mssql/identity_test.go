package mssql

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// stranger puts a database of somebody else under a name. The lock is held.
func (s *sim) stranger(name string) *simDB {
	d := s.add(name)
	d.Foreign = true
	d.BrokerID += " (foreign)"
	d.Tables = map[string][]string{"dbo.foreign": {name}}
	for i := range d.Files {
		d.Files[i].Path = fmt.Sprintf(`C:\Foreign\%d_%d.mdf`, s.ids, i)
	}
	return d
}

func (d *simDB) isForeign() bool { return d != nil && d.Foreign }

// strangers describes the databases of others.
func (s *sim) strangers() map[string]simDB {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]simDB{}
	for name, d := range s.dbs {
		if d.Foreign {
			all[name] = *d.clone()
		}
	}
	return all
}

// moveAway is what a person does with the database that has taken the live name.
func (s *sim) moveAway() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids++
	s.dbs[fmt.Sprint("foreign ", s.ids)] = s.dbs[liveName]
	delete(s.dbs, liveName)
}

// actions are what changes databases, from a world in which a restore has happened.
var actions = map[string]func(w *world, snap backup.Snapshot, r backup.Restored, t *testing.T) error{
	"restore": func(w *world, snap backup.Snapshot, _ backup.Restored, t *testing.T) error {
		_, err := w.store.Restore(t.Context(), snap.ID, w.db)
		return err
	},
	"undo": func(_ *world, _ backup.Snapshot, r backup.Restored, t *testing.T) error { return r.Undo(t.Context()) },
	"discard": func(_ *world, _ backup.Snapshot, r backup.Restored, t *testing.T) error {
		return r.Discard(t.Context())
	},
	"tidy": func(w *world, _ backup.Snapshot, _ backup.Restored, t *testing.T) error {
		return w.db.Tidy(t.Context())
	},
	"close": func(w *world, _ backup.Snapshot, _ backup.Restored, t *testing.T) error {
		return w.db.Close(t.Context())
	},
	"open": func(w *world, _ backup.Snapshot, _ backup.Restored, t *testing.T) error {
		return w.db.Open(t.Context())
	},
	"prove": func(w *world, snap backup.Snapshot, _ backup.Restored, t *testing.T) error {
		_, err := w.store.Prove(t.Context(), snap.ID, w.db)
		return err
	},
}

// eachStatement runs an action in worlds of their own: before the n-th changing
// statement of it others act, until there are no more statements. check is called where
// they have acted.
func eachStatement(t *testing.T, name string, others func(w *world, statement string) bool, kills bool, check func(w *world, r backup.Restored, kept []string, err error)) {
	acted := 0
	for n := 1; ; n++ {
		require.Less(t, n, 60)
		w := newWorld(t)
		old := w.state()
		snap := w.take(t)
		w.update()
		changed := w.state()
		r, err := w.store.Restore(t.Context(), snap.ID, w.db)
		require.NoError(t, err)
		at, did, over := w.sim.n+n, false, true
		w.interlude = func(statement string) {
			if w.sim.n == at {
				over, did = false, others(w, statement)
			}
		}
		if kills {
			w.fail(n, after, true)
		}
		err = actions[name](w, snap, r, t)
		w.interlude = nil
		w.reborn()
		if over {
			break
		}
		if did {
			acted++
			check(w, r, []string{old, changed}, err)
		}
	}
	if name == "restore" || name == "undo" {
		require.NotZero(t, acted)
	}
}

// Whatever runs when somebody makes a database under the live name while a swap is
// between its two renames: nothing that was live is lost, and their database is not touched.
func TestAnotherDatabaseTakesTheLiveName(t *testing.T) {
	for _, name := range []string{"restore", "undo"} { // in no other one is the name free
		for _, kills := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", killed ", kills), func(t *testing.T) {
				take := func(w *world, _ string) bool {
					if w.dbs[liveName] != nil {
						return false
					}
					w.stranger(liveName)
					return true
				}
				eachStatement(t, name, take, kills, func(w *world, r backup.Restored, kept []string, err error) {
					require.Error(t, err)
					whole := func() {
						_, aside := w.holds()
						require.Subset(t, aside, kept)
					}
					foreign := w.strangers()
					require.Len(t, foreign, 1)
					for _, call := range []func() error{
						func() error { return w.db.Tidy(t.Context()) },
						func() error { return r.Discard(t.Context()) },
						func() error { return r.Undo(t.Context()) },
						func() error { return w.db.Close(t.Context()) },
						func() error { return w.db.Open(t.Context()) },
						func() error { _, err := w.db.Check(t.Context()); return err },
						func() error { _, err := w.store.Take(t.Context(), "x", w.db); return err },
					} {
						err := call()
						require.ErrorIs(t, err, backup.ErrBusy)
						require.ErrorContains(t, err, "another database has taken the name")
						require.ErrorContains(t, err, "give the other one another name (ALTER DATABASE [asp ]]'1] MODIFY NAME = [...]) and repeat")
						require.Equal(t, foreign, w.strangers())
						whole()
					}
					w.moveAway() // what the error says
					require.NoError(t, w.db.Close(t.Context()))
					live, aside := w.holds()
					require.Contains(t, kept, live)
					if name == "undo" { // which gives up what was restored
						kept = kept[1:]
					}
					require.Subset(t, append(aside, live), kept)
					require.NoError(t, w.db.Open(t.Context()))
					require.NoError(t, w.db.Tidy(t.Context()))
					require.Len(t, w.strangers(), 1)
					require.Contains(t, kept, w.state())
				})
			})
		}
	}
}

// Before any statement that changes a database somebody can put another one in its
// place, with its number: the statement does not touch that one.
func TestAnotherDatabaseTakesItsPlace(t *testing.T) {
	for name := range actions {
		t.Run(name, func(t *testing.T) {
			var put simDB
			var at string
			swap := func(w *world, batch string) bool {
				guard, _ := unguard(batch)
				if len(guard) == 0 {
					return false
				}
				at = unquote(guard[0][1])
				d := w.dbs[at]
				w.dbs["moved"] = d
				delete(w.dbs, at)
				s := w.stranger(at)
				s.ID, d.ID = d.ID, s.ID
				put = *s.clone()
				return true
			}
			eachStatement(t, name, swap, false, func(w *world, _ backup.Restored, _ []string, _ error) {
				require.Equal(t, map[string]simDB{at: put}, w.strangers())
				require.NotNil(t, w.dbs["moved"])
			})
		})
	}
}

// A name alone makes no database ours.
func TestForeignDatabasesBeside(t *testing.T) {
	w := newWorld(t)
	for _, kind := range []string{"new", "old", "undone"} {
		w.stranger(liveName + "_aspupdate_" + kind + "_0123456789ab")
	}
	w.stranger("aspupdate_selftest_aspupdate_old_0123456789ab")
	var warned []string
	w.db.Observe = func(e backup.Event) {
		if e.Kind == backup.EventWarning {
			warned = append(warned, e.Text)
		}
	}
	foreign := w.strangers()
	snap := w.take(t)
	w.update()
	changed := w.state()
	r, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.NoError(t, r.Undo(t.Context()))
	require.Equal(t, changed, w.state())
	_, err = w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.NoError(t, w.db.Tidy(t.Context()))
	_, err = w.db.SelfTest(t.Context())
	require.NoError(t, err)
	require.Equal(t, foreign, w.strangers())
	require.Empty(t, w.beside())
	require.Contains(t, strings.Join(warned, "\n"), "_old_0123456789ab\" has a name as restores give them")
}

// A database that is only named as that of a self-test is not dropped by one.
func TestSelfTestDropsNoForeignDatabase(t *testing.T) {
	w := newWorld(t)
	w.stranger(scratchName)
	foreign := w.strangers()
	_, err := w.db.SelfTest(t.Context())
	require.ErrorIs(t, err, backup.ErrBusy)
	require.ErrorContains(t, err, "drop or rename it")
	require.Equal(t, foreign, w.strangers())
}

// The old database is not dropped while nothing is live, and not while it is offline, where it
// cannot be known.
func TestOnlyWhatIsKnownIsDropped(t *testing.T) {
	w := newWorld(t)
	snap := w.take(t)
	r, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	live := w.dbs[liveName]
	delete(w.dbs, liveName)
	require.Error(t, r.Discard(t.Context()))
	require.Error(t, w.db.Tidy(t.Context()))
	require.Equal(t, []string{"old"}, w.beside())
	w.dbs[liveName] = live
	var old *simDB
	for name, d := range w.dbs {
		if strings.Contains(name, "_old_") {
			old = d
		}
	}
	old.State = "OFFLINE"
	require.NoError(t, w.db.Tidy(t.Context()))
	require.Equal(t, []string{"old"}, w.beside())
	old.State = online
	require.NoError(t, w.db.Tidy(t.Context()))
	require.Empty(t, w.beside())
}

// Several restores without a Tidy leave several databases, and all of them are known.
func TestRestoresUponRestores(t *testing.T) {
	w := newWorld(t)
	snap := w.take(t)
	for range 3 {
		w.update()
		_, err := w.store.Restore(t.Context(), snap.ID, w.db)
		require.NoError(t, err)
	}
	require.Len(t, w.beside(), 3)
	w.update()
	r, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.NoError(t, r.Discard(t.Context()))
	require.Len(t, w.beside(), 3)
	require.NoError(t, w.db.Tidy(t.Context()))
	require.Empty(t, w.beside())
}

// An update may make the database anew. The old one comes back, the new one is kept.
func TestDatabaseThatWasMadeAnew(t *testing.T) {
	w := newWorld(t)
	old := w.state()
	snap := w.take(t)
	w.mu.Lock()
	w.dbs[liveName].Files[0].Path = `D:\Data\elsewhere.mdf`
	delete(w.dbs, liveName)
	w.add(liveName).Tables["dbo.anew"] = nil
	w.mu.Unlock()
	require.NoError(t, w.db.Close(t.Context()))
	anew := w.state()
	var warned string
	w.db.Observe = func(e backup.Event) {
		if e.Kind == backup.EventWarning {
			warned += e.Text
		}
	}
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.Equal(t, old, w.state())
	_, aside := w.holds()
	require.Equal(t, []string{anew}, aside)
	require.Contains(t, warned, "it was made since")
}

// A member of db_owner gets into a copy, as RESTRICTED_USER lets him, and makes a trigger for
// the change of its owner before any statement: none is fired with the rights of our login.
func TestAttackByAMemberOfDBOwnerInACopy(t *testing.T) {
	planted, refused, ended := 0, 0, false
	for n := 1; !ended; n++ {
		require.Less(t, n, 60)
		w := newWorld(t)
		w.dbs[liveName].OwnerRole = []string{"clerk"}
		w.db.OwnersOut = true
		w.dbs[liveName].Options[optionAsync] = fmt.Sprint(n % 2)
		snap := w.take(t)
		old := w.state()
		at := w.sim.n + n
		ended = true
		w.interlude = func(statement string) {
			if w.sim.n != at {
				return
			}
			ended = false
			for _, name := range slices.Sorted(maps.Keys(w.dbs)) {
				if name != liveName && w.plants("clerk", name) {
					planted++
				}
			}
		}
		_, err := w.store.Prove(t.Context(), snap.ID, w.db)
		w.interlude = nil
		if err != nil {
			require.ErrorIs(t, err, backup.ErrMismatch)
			refused++
		}
		require.Empty(t, w.violations)
		require.Equal(t, old, w.state())
		require.Empty(t, w.beside())
	}
	require.NotZero(t, planted)
	require.NotZero(t, refused)
}
