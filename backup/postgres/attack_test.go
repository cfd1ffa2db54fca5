package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// The tests in the files attack*_test.go play a role that owns a database, or
// something in it, and tries to become a superuser (Must hold 21).

// An attack is what such a role leaves in its database for others to run.
type attack struct {
	*world
	mark string // a file in the server's directory that only the server's account can make
}

// newAttack prepares the function evil(int) of the application's role. It runs a
// command as the server's account if the role that runs it may do so. It hides
// everything else.
func newAttack(t *testing.T) *attack {
	t.Helper()
	return attackOn(t, newWorld(t))
}

func attackOn(t *testing.T, w *world) *attack {
	t.Helper()
	a := &attack{world: w}
	a.mark = strings.ToLower("attacked-" + a.name[len(a.name)-11:len(a.name)-3])
	a.admin(t, a.name, "GRANT CREATE ON SCHEMA public TO "+ident(a.role))
	a.mine(t, a.evil("evil"))
	return a
}

// evil is not volatile, so that it may stand in an index and is evaluated when a
// query is planned. What it calls is, and may do everything.
func (a *attack) evil(name string) string {
	return `CREATE FUNCTION public.` + name + `_does() RETURNS void LANGUAGE plpgsql AS $evil$ BEGIN
		BEGIN
			RESET SESSION AUTHORIZATION;
			RESET ROLE;
		EXCEPTION WHEN OTHERS THEN END;
		BEGIN
			COPY (SELECT 1) TO PROGRAM 'touch ` + a.mark + `';
		EXCEPTION WHEN OTHERS THEN END;
		BEGIN
			EXECUTE 'ALTER ROLE ' || quote_ident(` + literal(a.role) + `) || ' SUPERUSER';
		EXCEPTION WHEN OTHERS THEN END; END $evil$;
		CREATE FUNCTION public.` + name + `(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN PERFORM public.` + name + `_does(); RETURN $1; END'`
}

// mine runs statements as the application's role.
func (a *attack) mine(t *testing.T, sql string) {
	t.Helper()
	conn, err := a.app(t)
	require.NoError(t, err)
	defer closeConn(conn)
	_, err = conn.PgConn().Exec(context.Background(), sql).ReadAll()
	require.NoError(t, err, sql)
}

// failed fails the test if the attack has succeeded.
func (a *attack) failed(t *testing.T, when string) {
	t.Helper()
	_, err := os.Stat(filepath.Join(a.c.Data, a.mark))
	require.ErrorIs(t, err, os.ErrNotExist, "%s: a command ran as the server's account", when)
	conn := a.connect(t, a.c.Admin("postgres"))
	defer closeConn(conn)
	var super bool
	require.NoError(t, conn.QueryRow(context.Background(), "SELECT rolsuper FROM pg_roles WHERE rolname = $1", a.role).Scan(&super))
	require.False(t, super, "%s: the application's role is a superuser", when)
}

// rounds returns n, or 1000 with ASPUPDATE_SOAK=1:
//
//	ASPUPDATE_SOAK=1 go test ./backup/postgres -run Attack -timeout 100h
func rounds(n int) int {
	if os.Getenv("ASPUPDATE_SOAK") == "1" {
		return 1000
	}
	return n
}

// everything does with the database all that the program does.
func (a *attack) everything(t *testing.T) {
	t.Helper()
	for range rounds(1) {
		a.everythingOnce(t)
	}
}

func (a *attack) everythingOnce(t *testing.T) {
	t.Helper()
	_, err := a.db.Counts(t.Context())
	require.NoError(t, err)
	a.failed(t, "Counts")
	require.NoError(t, a.db.Close(t.Context()))
	snap := a.take(t)
	a.failed(t, "Take")
	_, err = a.store.Prove(t.Context(), snap.ID, a.db)
	require.NoError(t, err)
	a.failed(t, "Prove")
	r := a.restore(t, snap)
	a.failed(t, "Restore from the clone")
	require.NoError(t, r.Undo(t.Context()))
	require.NoError(t, a.db.Tidy(t.Context()))
	r = a.restore(t, snap)
	a.failed(t, "Restore from the dump")
	require.NoError(t, r.Discard(t.Context()))
	require.NoError(t, a.db.Open(t.Context()))
	require.NoError(t, a.db.Tidy(t.Context()))
	a.failed(t, "the end")
}

// To plan a query of a table, a server evaluates the expressions of its indexes.
func TestAttackByAnIndexExpression(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	a.mine(t, `CREATE TABLE trap (n int); INSERT INTO trap VALUES (1); CREATE INDEX ON trap ((n + evil(0)))`)
	_, err := a.db.Counts(t.Context())
	require.NoError(t, err)
	a.failed(t, "Counts")
	snap := a.take(t)
	a.failed(t, "Take")
	_ = snap
}

// A table becomes a view while a count waits for a lock of another table.
func TestAttackByAViewInPlaceOfATable(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	a.mine(t, `CREATE TABLE a_first (n int); CREATE TABLE z_last (n int); INSERT INTO z_last VALUES (1)`)
	for round := range rounds(5) {
		holder, err := a.app(t)
		require.NoError(t, err)
		_, err = holder.Exec(t.Context(), "BEGIN; LOCK TABLE a_first IN ACCESS EXCLUSIVE MODE")
		require.NoError(t, err)
		var counting sync.WaitGroup
		counting.Go(func() {
			counts, err := a.db.Counts(context.Background())
			if err == nil {
				require.NotContains(t, counts, "public.evil")
			}
		})
		require.Eventually(t, func() bool {
			var waits bool
			err := holder.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'a_first'::regclass)`).Scan(&waits)
			return err == nil && waits
		}, 20*time.Second, 5*time.Millisecond)
		a.mine(t, `ALTER TABLE z_last RENAME TO kept; CREATE VIEW z_last AS SELECT 1 AS n WHERE evil(1) = 1`)
		_, err = holder.Exec(t.Context(), "COMMIT")
		require.NoError(t, err)
		counting.Wait()
		closeConn(holder)
		a.failed(t, fmt.Sprint("round ", round))
		a.mine(t, `DROP VIEW z_last; ALTER TABLE kept RENAME TO z_last`)
	}
}

// The same without a hold: schemas are renamed all the time, which no lock of a
// table prevents.
func TestAttackByARenamedSchema(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	a.admin(t, "postgres", "GRANT CREATE ON DATABASE "+ident(a.name)+" TO "+ident(a.role))
	a.mine(t, `CREATE SCHEMA good; CREATE TABLE good.t (n int); CREATE SEQUENCE good.s;
		CREATE SCHEMA bad; CREATE VIEW bad.t AS SELECT 1 AS n WHERE public.evil(1) = 1; CREATE TABLE bad.s (last_value int, is_called bool); CREATE INDEX ON bad.s ((last_value + public.evil(0)))`)
	a.db.NoClone = true
	ctx, stop := context.WithCancel(t.Context())
	var racing sync.WaitGroup
	for range 2 {
		conn, err := a.app(t)
		require.NoError(t, err)
		racing.Go(func() {
			defer closeConn(conn)
			for ctx.Err() == nil {
				_, _ = conn.PgConn().Exec(ctx, "BEGIN; ALTER SCHEMA good RENAME TO aside; ALTER SCHEMA bad RENAME TO good; ALTER SCHEMA aside RENAME TO bad; COMMIT").ReadAll()
			}
		})
	}
	for round := range rounds(16) {
		_, _ = a.db.Counts(t.Context())
		a.failed(t, fmt.Sprint("Counts ", round))
		if round%8 == 0 {
			_, _ = a.store.Take(t.Context(), "x", a.db)
			a.failed(t, fmt.Sprint("Take ", round))
		}
	}
	stop()
	racing.Wait()
}

// Settings that the owner gives to the database are in force in no session of ours.
func TestAttackBySettings(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	a.admin(t, "postgres", "GRANT CREATE ON DATABASE "+ident(a.name)+" TO "+ident(a.role))
	a.mine(t, `CREATE SCHEMA bad;
		CREATE VIEW bad.pg_class AS SELECT * FROM pg_catalog.pg_class WHERE public.evil(1) = 1;
		CREATE FUNCTION bad.count(int) RETURNS int LANGUAGE sql AS 'SELECT public.evil(1)';
		CREATE FUNCTION bad.starts_with(text, text) RETURNS bool LANGUAGE sql AS 'SELECT public.evil(1) = 1';
		CREATE FUNCTION bad.neq(name, text) RETURNS bool LANGUAGE sql AS 'SELECT public.evil(1) = 1';
		CREATE OPERATOR bad.<> (LEFTARG = name, RIGHTARG = text, FUNCTION = bad.neq)`)
	db := "ALTER DATABASE " + ident(a.name)
	for _, set := range []string{
		"search_path = bad, pg_catalog", "default_transaction_read_only = on", "statement_timeout = '1ms'", "lock_timeout = '1ms'",
		"idle_session_timeout = '1ms'", "idle_in_transaction_session_timeout = '1ms'", "client_encoding = 'WIN1251'", "standard_conforming_strings = off",
		"bytea_output = escape", "quote_all_identifiers = on", "datestyle = 'German'", "row_security = on", "default_transaction_isolation = serializable",
		"default_transaction_deferrable = on", "role = " + ident(a.role),
	} {
		conn, err := pgx.Connect(t.Context(), a.c.URI(a.role, a.password, "postgres"))
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), db+" SET "+set)
		closeConn(conn)
		require.NoError(t, err, set)
	}
	a.everything(t)
}

// Every role can take every advisory lock.
func TestAttackByTheLockOfTheProgram(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	maintenance := a.c.URI(a.role, a.password, "postgres")
	var held []*pgx.Conn
	for i := range 3 {
		conn, err := pgx.Connect(t.Context(), maintenance)
		require.NoError(t, err)
		held = append(held, conn)
		if i == 0 { // a prepared transaction has no session that could be ended
			_, err = conn.Exec(t.Context(), "BEGIN; SELECT pg_advisory_xact_lock_shared("+fmt.Sprint(lockKey(a.name))+"); PREPARE TRANSACTION "+literal("mine "+a.mark))
		} else {
			_, err = conn.Exec(t.Context(), "SELECT pg_advisory_lock_shared("+fmt.Sprint(lockKey(a.name))+")")
		}
		require.NoError(t, err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var racing sync.WaitGroup
	for range 3 {
		racing.Go(func() {
			for ctx.Err() == nil {
				if conn, err := pgx.Connect(ctx, maintenance); err == nil {
					_, _ = conn.Exec(ctx, "SELECT pg_advisory_lock("+fmt.Sprint(lockKey(a.name))+")")
					_, _ = conn.Exec(ctx, "SELECT pg_sleep(5)")
					closeConn(conn)
				}
			}
		})
	}
	var notes []string
	a.db.Observe = func(e backup.Event) {
		if e.Kind == backup.EventWarning {
			notes = append(notes, e.Text)
		}
	}
	for range rounds(5) {
		require.NoError(t, a.db.Close(t.Context()))
		require.NoError(t, a.db.Open(t.Context()))
	}
	stop()
	racing.Wait()
	require.NotEmpty(t, notes)
	require.Contains(t, notes[0], "holds the lock of this program")
	for _, conn := range held {
		closeConn(conn)
	}
}
