package mssql

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/backuptest"
)

const liveName = `asp ]'1`

// A world is a simulated server with a database that is closed to users.
type world struct {
	*sim
	db    *Database
	store *backup.Store
	n     int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{sim: newSim(), store: &backup.Store{Dir: t.TempDir() + "/store"}}
	w.add(liveName)
	w.db = w.newTarget(t.TempDir(), "x")
	w.db.name = liveName
	require.NoError(t, w.db.Close(t.Context()))
	t.Cleanup(func() {
		require.Empty(t, w.violations, "rows and code of others are read without rights outside their database")
		require.Empty(t, w.conns, "connections stay")
	})
	return w
}

// state describes the live data.
func (w *world) state() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.dbs[liveName]
	if d == nil {
		return "missing"
	}
	return d.data()
}

// update changes the live data as an update would.
func (w *world) update() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n++
	d := w.dbs[liveName]
	d.Tables["dbo.families"] = append(d.Tables["dbo.families"][1:], fmt.Sprint("new ", w.n))
	d.Tables[fmt.Sprint("dbo.t", w.n)] = []string{"1"}
	d.Code = append(d.Code, fmt.Sprint("ALTER ", w.n))
	d.Users[fmt.Sprint("u", w.n)] = "sid-app"
	d.Options["recovery_model_desc"] = []string{"SIMPLE", "FULL"}[w.n%2]
	d.Options[optionTrust] = fmt.Sprint(w.n % 2)
	d.Owner = []string{"app", "sa"}[w.n%2]
	d.Broker = w.n%3 != 0
}

func (w *world) take(t *testing.T) backup.Snapshot {
	t.Helper()
	snap, err := w.store.Take(t.Context(), "before", w.db)
	require.NoError(t, err)
	return snap
}

func TestTarget(t *testing.T) {
	backuptest.Test(t, func(t *testing.T) backuptest.Fixture {
		w := newWorld(t)
		return backuptest.Fixture{
			Target: w.db,
			Change: func(*testing.T) { w.update() },
			State:  func(*testing.T) string { return w.state() },
		}
	})
}
