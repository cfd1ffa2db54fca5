package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// Before PostgreSQL 15 a function can make its owner a member of the role that runs it: he is in as
// the login then.
func TestAttackByAMemberOfTheLogin(t *testing.T) {
	t.Parallel()
	c, _ := otherServer(t, 13)
	a := attackOn(t, newWorldOn(t, c))
	a.admin(t, a.name, `CREATE FUNCTION roots() RETURNS int LANGUAGE sql AS 'SELECT 1'`)
	a.mine(t, `CREATE FUNCTION harm(int) RETURNS int LANGUAGE plpgsql AS $x$ BEGIN
			IF session_user LIKE 'aspupdate_load%' AND $1 = 1 THEN EXECUTE format('GRANT %I TO %I', session_user, `+literal(a.role)+`::text);
			ELSIF session_user LIKE 'aspupdate_load%' THEN PERFORM pg_sleep(1); END IF; RETURN $1; END $x$;
		CREATE TABLE trap (n int CHECK (harm(n) = n)); INSERT INTO trap VALUES (1);
		CREATE TABLE trap2 (n int CHECK (harm(n) = n)); INSERT INTO trap2 VALUES (2)`)
	snap := a.take(t)
	require.NoError(t, a.db.Tidy(t.Context()))
	ctx, stop := context.WithCancel(t.Context())
	var racing sync.WaitGroup
	var replaced atomic.Bool
	racing.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
			for _, name := range a.databases(t) {
				if kindOf(a.name, name) != kindNew {
					continue
				}
				conn, err := pgx.Connect(ctx, a.c.URI(a.role, a.password, name))
				if err != nil {
					continue
				}
				if _, err = conn.Exec(ctx, "SET ROLE "+ident(loaderRole(a.name))); err == nil {
					_, err = conn.Exec(ctx, `CREATE OR REPLACE FUNCTION public.roots() RETURNS int SECURITY DEFINER LANGUAGE plpgsql AS $x$ BEGIN PERFORM public.evil_does(); RETURN 1; END $x$`)
				}
				if err == nil {
					replaced.Store(true)
				}
				closeConn(conn)
			}
		}
	})
	_, err := a.store.Restore(t.Context(), snap.ID, a.db)
	stop()
	racing.Wait()
	require.ErrorIs(t, err, backup.ErrMismatch)
	require.ErrorContains(t, err, "memberships")
	require.False(t, replaced.Load(), "the application was in as the login and replaced a superuser's function")
	a.mine(t, "SELECT roots()")
	a.failed(t, "the application calls the superuser's function")
}
