package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// clients connect and query for ever, and reconnect when their sessions are terminated.
func (w *world) clients(t *testing.T, n int, uri string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var served atomic.Int64
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				conn, err := pgx.Connect(ctx, uri)
				if err != nil {
					_ = pause(ctx, time.Millisecond)
					continue
				}
				for err == nil && ctx.Err() == nil {
					_, err = conn.Exec(ctx, "SELECT pg_sleep(0.001)")
					served.Add(1)
				}
				closeConn(conn)
			}
		})
	}
	require.Eventually(t, func() bool { return served.Load() >= int64(n) }, 10*time.Second, time.Millisecond)
	return func() {
		cancel()
		wg.Wait()
	}
}

// Terminating and renaming without ALLOW_CONNECTIONS false lost this race five times out of five.
func TestSwapAgainstClientsThatReconnect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	w.update(t)
	w.admin(t, "postgres", "GRANT CONNECT ON DATABASE "+ident(w.name)+" TO "+ident(w.role))
	changed := w.state(t)
	stop := w.clients(t, 4, w.c.URI(w.role, w.password, w.name))
	r, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.Equal(t, before, w.state(t))
	require.NoError(t, r.Undo(t.Context()))
	stop()
	require.Equal(t, changed, w.state(t))
}

// A restore undoes an update, from the clone and from the dump.
func TestR15RestoreIsWhole(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*testing.T, *world, facts){
		"clone": func(*testing.T, *world, facts) {},
		"clone changed by somebody": func(t *testing.T, w *world, f facts) {
			clone := "ALTER DATABASE " + ident(f.Clone) + " ALLOW_CONNECTIONS "
			w.admin(t, "postgres", clone+"true")
			w.admin(t, f.Clone, "UPDATE children SET name = 'x' WHERE id = 250")
			w.admin(t, "postgres", clone+"false")
		},
		"clone damaged on the disk": func(t *testing.T, w *world, f facts) {
			conn := w.connect(t, w.c.Admin(w.name))
			defer closeConn(conn)
			var path string
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT pg_relation_filepath('children')").Scan(&path))
			file := filepath.Join(w.c.Data, "base", fmt.Sprint(f.CloneOID), filepath.Base(path))
			require.NoError(t, os.Remove(file))
		},
		"clone opened": func(t *testing.T, w *world, f facts) {
			w.admin(t, "postgres", "ALTER DATABASE "+ident(f.Clone)+" ALLOW_CONNECTIONS true")
		},
		"dump": func(t *testing.T, w *world, _ facts) {
			require.NoError(t, w.db.Tidy(t.Context()))
			require.Empty(t, w.kinds(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			before := w.state(t)
			snap := w.take(t)
			f, err := readFacts(snap.Meta)
			require.NoError(t, err)
			w.update(t)
			spoil(t, w, f)
			_, err = w.store.Restore(t.Context(), snap.ID, w.db)
			require.NoError(t, err)
			require.Equal(t, before, w.state(t))
			require.Contains(t, w.kinds(t), kindOld)
			require.NoError(t, w.db.Tidy(t.Context()))
			require.Empty(t, w.kinds(t))
			require.Equal(t, before, w.state(t))
		})
	}
}

func TestInPlaceMakesNoClone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.NoClone = true
	w.admin(t, w.name, "DROP SCHEMA public CASCADE")
	_, err := w.store.Take(t.Context(), "open", w.db)
	require.ErrorIs(t, err, backup.ErrBusy)
	require.NoError(t, w.db.Close(t.Context()))
	before := w.state(t)
	snap := w.take(t)
	require.Empty(t, w.kinds(t))
	w.update2(t)
	_, err = w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.Equal(t, before, w.state(t))
	needs, err := w.db.Needs(t.Context())
	require.NoError(t, err)
	require.Len(t, needs, 3)
}

// update2 is an update for a database without the schema public.
func (w *world) update2(t *testing.T) {
	t.Helper()
	w.admin(t, w.name, `CREATE SCHEMA public; CREATE TABLE public.x (); DROP SCHEMA "Схема ""1""" CASCADE`)
}

// Whenever a connection breaks, the live database is the old or the new, and nothing
// half made stays.
func TestRestoreInterruptedAtAnyTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	w.update(t)
	changed := w.state(t)
	dir, err := w.store.Path(snap.ID)
	require.NoError(t, err)
	for i := range 6 {
		if i == 3 {
			require.NoError(t, w.db.Tidy(t.Context())) // from the dump from now on
		}
		ctx, cancel := context.WithCancel(t.Context())
		cut := time.AfterFunc(time.Duration(20+50*i)*time.Millisecond, func() {
			if i%2 == 0 {
				cancel()
				return
			}
			_ = w.killMaintenance()
		})
		r, err := w.db.Restore(ctx, dir, snap.Meta)
		cut.Stop()
		cancel()
		if err == nil {
			require.Equal(t, before, w.state(t))
			require.NoError(t, r.Undo(t.Context()))
			continue
		}
		require.Equal(t, changed, w.state(t), "%v", err)
		require.NotContains(t, w.kinds(t), kindNew, "%v", err)
		require.NotContains(t, w.kinds(t), kindOld, "%v", err)
	}
}

// killMaintenance terminates the session of this package on the database.
func (w *world) killMaintenance() error {
	conn, err := pgx.Connect(context.Background(), w.c.Admin("postgres"))
	if err != nil {
		return err
	}
	defer closeConn(conn)
	_, err = conn.Exec(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_locks
		WHERE locktype = 'advisory' AND (classid::bigint << 32) | objid::bigint = $1`, lockKey(w.name))
	return err
}

func TestBackupInterruptedAtAnyTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	for i := range 6 {
		ctx, cancel := context.WithCancel(t.Context())
		cut := time.AfterFunc(time.Duration(10+60*i)*time.Millisecond, cancel)
		_, err := w.store.Take(ctx, "x", w.db)
		cut.Stop()
		cancel()
		if err != nil && strings.Contains(err.Error(), "back up database") {
			require.Empty(t, w.kinds(t), "no clone without a backup: %v", err)
			continue
		}
		// The database's part had ended. If the store was interrupted while it
		// sealed that, the next backup or Tidy drops the clone.
		require.Subset(t, []string{kindClone}, w.kinds(t), "%v", err)
		require.NoError(t, w.db.Tidy(t.Context()))
		require.Empty(t, w.kinds(t))
	}
	require.Equal(t, before, w.state(t))
}

// A backup that is interrupted while the store seals it leaves a whole clone, which
// the next backup drops.
func TestBackupInterruptedWhileSealing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.store.Observe = func(e backup.Event) {
		if e.Kind == "seal" {
			cancel()
		}
	}
	_, err := w.store.Take(ctx, "x", w.db)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, []string{kindClone}, w.kinds(t))
	w.store.Observe = nil
	w.take(t)
	require.Equal(t, []string{kindClone}, w.kinds(t), "that of the new backup")
	list, err := w.store.List()
	require.NoError(t, err)
	require.Len(t, list, 1)
}

// What a killed process left is recovered, and what belongs to others stays.
func TestRecoverAfterAKilledRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	db := ident(w.name)
	half := ident(besideName(w.name, kindClone, "00000001"))
	fresh := ident(besideName(w.name, kindNew, "00000002"))
	commented := ident(besideName(w.name, kindClone, "00000003"))
	opened := ident(besideName(w.name, kindNew, "00000004"))
	other := ident(besideName(w.name, kindNew, "00000005"))
	cut := ident(besideName(w.name, kindClone, "00000006"))
	cutMarked := ident(besideName(w.name, kindNew, "00000007"))
	for _, sql := range []string{
		"CREATE DATABASE " + half + " CONNECTION LIMIT 0",
		"CREATE DATABASE " + fresh + " CONNECTION LIMIT 0",
		"ALTER DATABASE " + fresh + " SET " + setKind + " = 'new'",
		"CREATE DATABASE " + commented + " CONNECTION LIMIT 0",
		"COMMENT ON DATABASE " + commented + " IS 'mine, do not drop'",
		"CREATE DATABASE " + opened,
		"CREATE DATABASE " + other + " CONNECTION LIMIT 0",
		"ALTER DATABASE " + other + " SET " + setKind + " = 'something else'",
		// These two were being dropped.
		"CREATE DATABASE " + cut,
		"CREATE DATABASE " + cutMarked,
		"ALTER DATABASE " + cutMarked + " SET " + setKind + " = 'new'",
		"UPDATE pg_database SET datconnlimit = -2 WHERE quote_ident(datname) IN (" + literal(cut) + ", " + literal(cutMarked) + ")",
		"ALTER DATABASE " + db + " SET " + setSwapping + " = 'yes'",
		"ALTER DATABASE " + db + " ALLOW_CONNECTIONS false",
	} {
		w.admin(t, "postgres", sql)
	}
	require.NoError(t, w.db.Tidy(t.Context()))
	require.Equal(t, before, w.state(t), "users can connect again")
	left := w.databases(t)
	require.Len(t, left, 4, "what may belong to others stays: %q", left)
	for _, name := range left {
		require.NotContains(t, []string{half, fresh}, ident(name))
	}
}

func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	snap := w.take(t)
	w.update(t)
	changed := w.state(t)
	dir, err := w.store.Path(snap.ID)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		spoil func(*facts)
		want  error
		say   string
	}{
		"another database":  {func(f *facts) { f.Database = "other" }, backup.ErrIncompatible, `"other"`},
		"no database":       {func(f *facts) { f.Database = "" }, backup.ErrIncompatible, "lacks"},
		"missing role":      {func(f *facts) { f.Roles = append(f.Roles, "ghost") }, backup.ErrIncompatible, "ghost"},
		"missing extension": {func(f *facts) { f.Extensions = append(f.Extensions, extension{Name: "postghost"}) }, backup.ErrIncompatible, "postghost"},
		"no tablespace":     {func(f *facts) { f.Locale.Tablespace = "fast" }, backup.ErrIncompatible, "fast"},
		"other rows": {func(f *facts) {
			for i := range f.Tables {
				if f.Tables[i].Name == "children" {
					f.Tables[i].Sum = "1"
				}
			}
		}, backup.ErrMismatch, `"public"."children" has 500 rows`},
		"one table more": {func(f *facts) { f.Tables = append(f.Tables, table{Schema: "public", Name: "zebra"}) }, backup.ErrMismatch, "zebra"},
		"another dump":   {func(f *facts) { f.Clone, f.DumpSHA256 = "", "00" }, backup.ErrDamaged, "SHA-256"},
	} {
		t.Run(name, func(t *testing.T) {
			m := snap.Meta
			f, err := readFacts(m)
			require.NoError(t, err)
			c.spoil(&f)
			m.Detail, err = json.Marshal(f)
			require.NoError(t, err)
			_, err = w.db.Restore(t.Context(), dir, m)
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.say)
			left := []string{kindClone}
			if errors.Is(c.want, backup.ErrMismatch) {
				left = append(left, kindDiffers)
			}
			require.ElementsMatch(t, left, w.kinds(t))
			require.NoError(t, w.drop(t, kindDiffers))
		})
	}
	require.Equal(t, changed, w.state(t))
}

func TestRestoreOfADroppedDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	w.admin(t, "postgres", "DROP DATABASE "+ident(w.name))
	require.ErrorContains(t, w.db.Tidy(t.Context()), "may be all that is left")
	r, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.Equal(t, before, w.state(t))
	require.NoError(t, r.Undo(t.Context()))
	require.Equal(t, []string{kindClone}, w.kinds(t))
	require.ErrorContains(t, w.db.Open(t.Context()), "does not exist")
}

func TestConcurrentBackups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Go(func() { _, errs[i] = w.store.Take(t.Context(), fmt.Sprint(i), w.db) })
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...), "one after the other")
	list, err := w.store.List()
	require.NoError(t, err)
	require.Len(t, list, 3)
	require.Equal(t, []string{kindClone}, w.kinds(t), "that of the newest")
	require.Equal(t, 0, strings.Count(fmt.Sprint(list), w.c.Password), "no secret in a manifest")
}
