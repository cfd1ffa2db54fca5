package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

func (w *world) limit(t *testing.T) (n int) {
	t.Helper()
	conn := w.connect(t, w.c.Admin("postgres"))
	defer closeConn(conn)
	require.NoError(t, conn.QueryRow(context.Background(), "SELECT datconnlimit FROM pg_database WHERE datname = $1", w.name).Scan(&n))
	return n
}

func (w *world) closed(t *testing.T) bool {
	t.Helper()
	closed, err := w.db.Closed(t.Context())
	require.NoError(t, err)
	return closed
}

func TestR12CloseStopsUsersAndNotTheMaintenanceRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	user, err := w.app(t)
	require.NoError(t, err)
	defer closeConn(user)
	require.False(t, w.closed(t))

	require.NoError(t, w.db.Close(t.Context()))
	_, err = user.Exec(t.Context(), "SELECT 1")
	require.Error(t, err, "open sessions are terminated")
	_, err = w.app(t)
	require.ErrorContains(t, err, "FATAL") // too many connections, or permission denied
	require.True(t, w.closed(t))
	w.admin(t, w.name, "SELECT 1")

	require.NoError(t, w.db.Close(t.Context()), "repeating is fine")
	require.Zero(t, w.limit(t))
	another := *w.db // as after a crash: nothing in memory is needed
	require.NoError(t, another.Open(t.Context()))
	require.Equal(t, 17, w.limit(t))
	require.False(t, w.closed(t))
	require.NoError(t, w.db.Open(t.Context()), "repeating is fine")
	require.Equal(t, 17, w.limit(t))
	user, err = w.app(t)
	require.NoError(t, err)
	closeConn(user)
	require.Equal(t, before, w.state(t), "it leaves no trace")
}

func TestCloseNeedsASuperuser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := &Database{URI: w.c.URI(w.role, w.password, w.name)}
	_, berr := db.Backup(t.Context(), t.TempDir()) // it may not make databases either
	for what, err := range map[string]error{"close": db.Close(t.Context()), "open": db.Open(t.Context()), "check": db.check(t.Context()), "backup": berr} {
		require.ErrorIs(t, err, backup.ErrPermission, what)
		require.ErrorContains(t, err, "is not a superuser")
		require.NotContains(t, err.Error(), w.password)
	}
	require.Equal(t, 17, w.limit(t))
}

// No limit stops a superuser: an application that connects as one is an error.
func TestSuperuserThatKeepsComingBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.drainTimeout = 300 * time.Millisecond
	stop := w.clients(t, 3, w.c.Admin(w.name))
	defer stop()
	err := w.db.Close(t.Context())
	require.ErrorIs(t, err, backup.ErrBusy)
}

func TestPreparedTransactionIsAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.drainTimeout = 100 * time.Millisecond
	w.admin(t, w.name, "BEGIN; INSERT INTO children (name) VALUES ('x'); PREPARE TRANSACTION 'p'")
	defer w.admin(t, w.name, "ROLLBACK PREPARED 'p'")
	require.ErrorIs(t, w.db.check(t.Context()), backup.ErrBusy)
	_, err := w.store.Take(t.Context(), "x", w.db)
	require.ErrorIs(t, err, backup.ErrBusy)
	require.ErrorContains(t, err, "prepared transactions")
}

func TestBackupOfADatabaseInUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user, err := w.app(t)
	require.NoError(t, err)
	defer closeConn(user)
	_, err = w.store.Take(t.Context(), "x", w.db)
	require.ErrorIs(t, err, backup.ErrBusy)
	require.ErrorContains(t, err, "close it first")
	require.NoError(t, user.Ping(t.Context()), "a backup terminates no session")
	require.Empty(t, w.kinds(t))
	list, err := w.store.List()
	require.NoError(t, err)
	require.Empty(t, list)
}

// A restored database is closed if the one that was live is, and Open sets the limit
// of the backup.
func TestRestoredDatabaseIsClosedLikeTheLiveOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.db.Close(t.Context()))
	snap := w.take(t)
	f, err := readFacts(snap.Meta)
	require.NoError(t, err)
	require.True(t, f.Closed)
	require.Equal(t, 17, f.Limit)
	w.update(t)
	r, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.True(t, w.closed(t))
	_, err = w.app(t)
	require.ErrorContains(t, err, "too many connections")
	require.NoError(t, w.db.Open(t.Context()))
	require.Equal(t, 17, w.limit(t))

	require.NoError(t, r.Undo(t.Context()))
	require.False(t, w.closed(t), "Undo keeps it as open as the restored one")
	require.Equal(t, 17, w.limit(t))
	require.Equal(t, []string{kindClone}, w.kinds(t))
}
