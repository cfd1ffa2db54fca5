package postgres

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// failed checks what holds after every failure: the error names the operation, and
// the live database is as it was.
func (w *world) failed(t *testing.T, err error, live string) {
	t.Helper()
	require.Error(t, err)
	var e *backup.Error
	require.ErrorAs(t, err, &e)
	require.NotEmpty(t, e.Op)
	require.NotContains(t, err.Error(), w.c.Password)
	require.Equal(t, live, w.state(t), "%v", err)
	require.NotContains(t, w.kinds(t), kindNew, "%v", err)
	require.NotContains(t, w.kinds(t), kindOld, "%v", err)
}

func (w *world) restore(t *testing.T, snap backup.Snapshot) backup.Restored {
	t.Helper()
	r, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	return r
}

// A role was dropped.
func TestFaultRoleIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	require.NoError(t, w.db.Tidy(t.Context())) // the clone would keep the role
	reader := ident("reader " + strings.TrimPrefix(w.role, `app '"`))
	w.admin(t, w.name, "DROP OWNED BY "+reader+" CASCADE; DROP ROLE "+reader)
	w.update(t)
	changed := w.state(t)
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	w.failed(t, err, changed)
	require.ErrorIs(t, err, backup.ErrIncompatible)
	require.ErrorContains(t, err, "reader")
	_, err = w.store.Prove(t.Context(), snap.ID, w.db)
	w.failed(t, err, changed)
	require.ErrorIs(t, err, backup.ErrIncompatible)
	w.admin(t, "postgres", "CREATE ROLE "+reader)
	w.restore(t, snap)
	require.Equal(t, before, w.state(t))
}

// Databases in other encodings than the server's are restored byte by byte, even over
// one in UTF-8. A locale that the server lacks is an error.
func TestFaultOtherEncoding(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"WIN1251", "SQL_ASCII", "KOI8R"} {
		t.Run(encoding, func(t *testing.T) {
			w := newWorld(t)
			create := func(encoding string) {
				w.dropAll(t)
				w.admin(t, "postgres", "CREATE DATABASE "+ident(w.name)+" TEMPLATE template0 ENCODING "+literal(encoding)+
					" LC_COLLATE 'C' LC_CTYPE 'C' OWNER "+ident(w.role))
			}
			create(encoding)
			// Every letter of the encoding, in rows and in names, which in SQL_ASCII are not UTF-8.
			w.admin(t, w.name, `CREATE TABLE letters AS SELECT g, repeat(chr(g), 3) x FROM generate_series(192, 255) g;
				DO $$ BEGIN EXECUTE 'CREATE TABLE "' || chr(207) || chr(224) || '" AS SELECT 1 one';
				EXECUTE 'CREATE TABLE "' || chr(207) || chr(225) || '" AS SELECT 2 two'; END $$`)
			before := w.state(t)
			snap := w.take(t)
			f, err := readFacts(snap.Meta)
			require.NoError(t, err)
			require.Equal(t, encoding, f.Locale.Encoding)
			w.admin(t, w.name, "UPDATE letters SET x = chr(200)")
			changed := w.state(t)
			r := w.restore(t, snap)
			require.Equal(t, before, w.state(t), "from the clone")
			require.NoError(t, r.Undo(t.Context()))
			require.Equal(t, changed, w.state(t))

			create("UTF8")
			w.restore(t, snap)
			require.Equal(t, before, w.state(t), "from the dump")

			dir, err := w.store.Path(snap.ID)
			require.NoError(t, err)
			err = w.db.Prove(t.Context(), dir, respell(t, snap.Meta, func(f *facts) { f.Locale.Collate, f.Locale.Ctype = "xx_XX.CP1", "xx_XX.CP1" }))
			require.ErrorIs(t, err, backup.ErrIncompatible)
			require.ErrorContains(t, err, "xx_XX.CP1")
			require.NotContains(t, w.kinds(t), kindNew)
		})
	}
}

// A role that is not a superuser can do nothing. A superuser needs no CREATEDB.
func TestFaultRoleWithoutCreateDB(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	w.update(t)
	changed := w.state(t)
	admin := w.db.URI
	w.db.URI = w.c.URI(w.role, w.password, w.name)
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	_, perr := w.store.Prove(t.Context(), snap.ID, w.db)
	_, terr := w.store.Take(t.Context(), "x", w.db)
	terr2 := w.db.Tidy(t.Context())
	_, nerr := w.db.Needs(t.Context())
	w.db.URI = admin
	for _, err := range []error{err, perr, terr} {
		w.failed(t, err, changed)
		require.ErrorIs(t, err, backup.ErrPermission)
	}
	require.ErrorIs(t, terr2, backup.ErrPermission)
	require.ErrorIs(t, nerr, backup.ErrPermission)
	require.Equal(t, []string{kindClone}, w.kinds(t))

	role, password := "upkeep "+w.role, rand.Text()
	w.admin(t, "postgres", "CREATE ROLE "+ident(role)+" LOGIN SUPERUSER NOCREATEDB PASSWORD "+literal(password))
	w.db.URI = w.c.URI(role, password, w.name)
	r, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	w.db.URI = admin
	require.Equal(t, before, w.state(t))
	require.NoError(t, r.Discard(t.Context()))
}

// Readers that hold locks, and queries that never end, stop neither a restore nor
// its Undo nor the fence.
func TestFaultIdleAndBusyReaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	w.update(t)
	changed := w.state(t)
	readers := func() (gone func()) {
		t.Helper()
		var all []*pgx.Conn
		for _, uri := range []string{w.c.URI(w.role, w.password, w.name), w.c.Admin(w.name)} {
			idle, inside, busy := w.connect(t, uri), w.connect(t, uri), w.connect(t, uri)
			all = append(all, idle, inside)
			_, err := inside.Exec(t.Context(), "BEGIN; SELECT count(*) FROM children; LOCK TABLE children IN ACCESS SHARE MODE")
			require.NoError(t, err)
			asked := make(chan error, 1)
			go func() {
				_, err := busy.Exec(context.Background(), "SELECT count(*) FROM generate_series(1, 1000000000000) g WHERE g % 7 = 8")
				closeConn(busy)
				asked <- err
			}()
			t.Cleanup(func() { require.Error(t, <-asked) })
		}
		return func() {
			t.Helper()
			for _, conn := range all {
				require.Error(t, conn.Ping(t.Context()))
				closeConn(conn)
			}
		}
	}
	gone := readers()
	r := w.restore(t, snap)
	gone()
	require.Equal(t, before, w.state(t))
	gone = readers()
	require.NoError(t, r.Undo(t.Context()))
	gone()
	require.Equal(t, changed, w.state(t))
	gone = readers()
	require.NoError(t, w.db.Close(t.Context()))
	gone()
	require.Equal(t, changed, w.state(t))
}

// Eight clients that always reconnect at once see one short gap when the databases
// are swapped.
func TestFaultGapOfClientsAtTheSwap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	w.update(t)
	w.admin(t, "postgres", "GRANT CONNECT ON DATABASE "+ident(w.name)+" TO "+ident(w.role))
	changed := w.state(t)
	const limit = 7 * time.Second // a second where the machine has nothing else to do
	var p99 time.Duration
	for range 3 { // a machine that is busy otherwise may need another try
		var gaps []time.Duration
		for range 3 {
			var r backup.Restored
			gaps = append(gaps, w.outages(t, 8, func() { r = w.restore(t, snap) })...)
			require.Equal(t, before, w.state(t))
			gaps = append(gaps, w.outages(t, 8, func() { require.NoError(t, r.Undo(t.Context())) })...)
			require.Equal(t, changed, w.state(t))
		}
		slices.Sort(gaps)
		p99 = gaps[len(gaps)*99/100]
		t.Logf("gap: median %v, p99 %v", gaps[len(gaps)/2], p99)
		if p99 <= limit {
			break
		}
	}
	require.LessOrEqual(t, p99, limit)
	require.Equal(t, []string{kindClone}, w.kinds(t))
}

// A role that cannot be dropped is no reason to lock users out.
func TestFaultLoginCannotBeDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	snap := w.take(t)
	require.NoError(t, w.db.Tidy(t.Context()))
	require.NoError(t, w.db.Close(t.Context()))
	role, other := ident(loaderRole(w.name)), ident("other "+w.role)
	w.admin(t, "postgres", "CREATE ROLE "+role)
	w.admin(t, "postgres", "CREATE DATABASE "+other)
	t.Cleanup(func() {
		w.admin(t, "postgres", "DROP DATABASE "+other+" WITH (FORCE)")
		w.admin(t, "postgres", "DROP ROLE IF EXISTS "+role)
	})
	w.admin(t, "other "+w.role, "CREATE SCHEMA theirs AUTHORIZATION "+role)
	var warnings []string
	w.db.Observe = func(e backup.Event) {
		if e.Kind == backup.EventWarning {
			warnings = append(warnings, e.Text)
		}
	}
	require.NoError(t, w.db.Open(t.Context()))
	require.False(t, w.closed(t))
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], loaderRole(w.name))
	_, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.ErrorContains(t, err, "cannot be dropped", "a load needs a role of its own")
	w.admin(t, "other "+w.role, "DROP SCHEMA theirs")
	w.restore(t, snap)
}
