package postgres

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// elsewhere runs a statement as the application's role, connected to the database postgres.
func (a *attack) elsewhere(t *testing.T, sql string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), a.c.URI(a.role, a.password, "postgres"))
	require.NoError(t, err)
	defer closeConn(conn)
	_, err = conn.Exec(t.Context(), sql)
	return err
}

// The owner of a database can lift its limit from elsewhere.
func TestAttackByTheOwnerOfAClosedDatabase(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	db := "ALTER DATABASE " + ident(a.name)
	before := a.state(t)
	require.ErrorIs(t, a.db.checkClosed(t.Context()), backup.ErrBusy, "it is open")
	for range rounds(2) { // Close may be repeated
		require.NoError(t, a.db.Close(t.Context()))
		require.NoError(t, a.db.checkClosed(t.Context()))
		for _, sql := range []string{" CONNECTION LIMIT -1", " RESET aspupdate.connection_limit", " ALLOW_CONNECTIONS true", " RENAME TO elsewhere", " OWNER TO CURRENT_USER"} {
			require.Error(t, a.elsewhere(t, db+sql), sql)
		}
		require.Error(t, a.elsewhere(t, "DROP DATABASE "+ident(a.name)))
		_, err := a.app(t)
		require.Error(t, err, "the application is in")
		require.Equal(t, before, a.state(t))
	}
	require.NoError(t, a.db.Open(t.Context()))
	require.Equal(t, before, a.state(t), "owner, grants and limit are as before")
	require.NoError(t, a.elsewhere(t, db+" CONNECTION LIMIT 17"), "the application owns its database again")
	require.ErrorIs(t, a.db.checkClosed(t.Context()), backup.ErrBusy)
}

// A maintenance role that has grants of its own becomes the owner and ceases to
// be it without losing them.
func TestGrantsOfTheMaintenanceRoleSurviveTheFence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, "postgres", "SET ROLE "+ident(w.role)+"; GRANT CONNECT ON DATABASE "+ident(w.name)+" TO postgres")
	before := w.state(t)
	require.NoError(t, w.db.Close(t.Context()))
	require.NoError(t, w.db.Open(t.Context()))
	require.Equal(t, before, w.state(t))
}

// What the settings say counts only if the owner could not have made them.
func TestAttackByForgedSettings(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	db := "ALTER DATABASE " + ident(a.name)
	for _, sql := range []string{" SET aspupdate.owner = 'postgres'", " SET aspupdate.grants = 'x'", " SET aspupdate.connection_limit = '-1'", " CONNECTION LIMIT 0"} {
		a.admin(t, "postgres", db+sql) // servers before 15 let the owner do it
	}
	require.ErrorIs(t, a.db.checkClosed(t.Context()), backup.ErrBusy, "the owner can open it")
	a.db.NoClone = true
	_, err := a.store.Take(t.Context(), "x", a.db)
	require.ErrorIs(t, err, backup.ErrBusy)
	require.NoError(t, a.db.Close(t.Context()))
	require.NoError(t, a.db.checkClosed(t.Context()))
	require.NoError(t, a.db.Open(t.Context()))
	require.NoError(t, a.elsewhere(t, db+" CONNECTION LIMIT 17"), "the application owns its database still")
}

// The check of the fence is asked between the snapshot and the commit.
func TestCheckOfTheFence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.db.Close(t.Context()))
	root := w.connect(t, w.c.Admin(w.name))
	require.NoError(t, w.db.checkClosed(t.Context()), "a superuser is in, such as an installer")
	closeConn(root)
	w.admin(t, "postgres", "ALTER DATABASE "+ident(w.name)+" CONNECTION LIMIT 5")
	require.ErrorIs(t, w.db.checkClosed(t.Context()), backup.ErrBusy, "the limit was lifted")
	w.admin(t, "postgres", "GRANT CONNECT ON DATABASE "+ident(w.name)+" TO "+ident(w.role))
	user, err := w.app(t)
	require.NoError(t, err)
	w.admin(t, "postgres", "ALTER DATABASE "+ident(w.name)+" CONNECTION LIMIT 0")
	err = w.db.checkClosed(t.Context())
	require.ErrorIs(t, err, backup.ErrBusy)
	require.ErrorContains(t, err, w.role)
	closeConn(user)
	require.NoError(t, w.db.Close(t.Context())) // waits until the user is gone
	require.NoError(t, w.db.checkClosed(t.Context()))
	w.admin(t, "postgres", "ALTER DATABASE "+ident(w.name)+" OWNER TO "+ident(w.role))
	require.ErrorIs(t, w.db.checkClosed(t.Context()), backup.ErrBusy, "the owner can open it")
	require.NoError(t, w.db.Close(t.Context()))
	require.NoError(t, w.db.checkClosed(t.Context()))
}

// The application's role waits for databases beside its own, to open and enter them.
func TestAttackByTheOwnerOfACopy(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	before := a.state(t)
	ctx, stop := context.WithCancel(t.Context())
	var racing sync.WaitGroup
	var mu sync.Mutex
	var done []string
	for range 2 {
		conn, err := pgx.Connect(ctx, a.c.URI(a.role, a.password, "postgres"))
		require.NoError(t, err)
		racing.Go(func() {
			defer closeConn(conn)
			for ctx.Err() == nil {
				names, _ := collect[struct{ Name string }](ctx, conn, "SELECT datname FROM pg_database WHERE datname ~ '_aspupdate_'")
				for _, n := range names {
					if kindOf(a.name, n.Name) == "" {
						continue
					}
					for _, set := range []string{"ALLOW_CONNECTIONS true", "CONNECTION LIMIT -1", "RESET aspupdate.kind"} {
						if _, err := conn.Exec(ctx, "ALTER DATABASE "+ident(n.Name)+" "+set); err == nil {
							mu.Lock()
							done = append(done, n.Name+" "+set)
							mu.Unlock()
						}
					}
					if in, err := pgx.Connect(ctx, a.c.URI(a.role, a.password, n.Name)); err == nil {
						mu.Lock()
						done = append(done, "in "+n.Name)
						mu.Unlock()
						closeConn(in)
					}
				}
			}
		})
	}
	snap := a.take(t)
	for round := range rounds(3) {
		r := a.restore(t, snap)
		if round == 1 {
			require.NoError(t, r.Undo(t.Context()))
			continue
		}
		require.NoError(t, r.Discard(t.Context()))
		require.NoError(t, a.db.Tidy(t.Context())) // the last one is from the dump
	}
	stop()
	racing.Wait()
	mu.Lock()
	defer mu.Unlock()
	require.Empty(t, done, fmt.Sprint(len(done), " times"))
	require.Equal(t, before, a.state(t))
}
