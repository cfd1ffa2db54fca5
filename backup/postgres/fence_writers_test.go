package postgres

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// A writer inserts one number after the other, reconnects when its session is
// terminated, and records what the server acknowledged, by the phase in which it
// was sent.
type writers struct {
	phase atomic.Int32
	mu    sync.Mutex
	acked map[int32][]int64
	next  atomic.Int64
	stop  func()
}

const (
	open   int32 = iota // until Close has returned
	fenced              // until Open is called
	reopened
)

// write starts n writers to all databases that find returns.
func (w *world) write(t *testing.T, n int, uri string, find func(context.Context) []string) *writers {
	t.Helper()
	ws := &writers{acked: map[int32][]int64{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				for _, database := range find(ctx) {
					cfg, err := pgx.ParseConfig(uri)
					if err != nil {
						t.Error(err)
						return
					}
					cfg.Database = database
					ws.session(ctx, cfg)
				}
				_ = pause(ctx, time.Millisecond)
			}
		})
	}
	var once sync.Once
	ws.stop = func() { once.Do(func() { cancel(); wg.Wait() }) }
	t.Cleanup(ws.stop)
	return ws
}

func (ws *writers) session(ctx context.Context, cfg *pgx.ConnConfig) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return
	}
	defer closeConn(conn)
	for ctx.Err() == nil {
		n, phase := ws.next.Add(1), ws.phase.Load()
		sql := "INSERT INTO log VALUES ($1)"
		if n%3 == 0 {
			sql = "WITH x AS (INSERT INTO log VALUES ($1)) SELECT pg_sleep(0.002)" // under way for a while
		}
		if _, err := conn.Exec(ctx, sql, n); err != nil {
			return
		}
		ws.mu.Lock()
		ws.acked[phase] = append(ws.acked[phase], n)
		ws.mu.Unlock()
	}
}

func (ws *writers) count(phase int32) int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.acked[phase])
}

func (ws *writers) await(t *testing.T, phase int32) {
	t.Helper()
	require.Eventually(t, func() bool { return ws.count(phase) >= 50 }, 30*time.Second, 5*time.Millisecond)
}

// reachable returns the application's database and the copies beside it, as the
// application's role sees them.
func (w *world) reachable(t *testing.T) func(context.Context) []string {
	var mu sync.Mutex
	conn := w.connect(t, w.c.URI(w.role, w.password, "postgres"))
	t.Cleanup(func() { closeConn(conn) })
	return func(ctx context.Context) (names []string) {
		mu.Lock()
		defer mu.Unlock()
		all, err := collect[struct{ Name string }](ctx, conn, "SELECT datname FROM pg_database")
		if err != nil {
			return nil
		}
		for _, d := range all {
			if strings.Contains(d.Name, strings.TrimPrefix(w.role, `app '"`)) {
				names = append(names, d.Name)
			}
		}
		return names
	}
}

// Writers that never stop lose nothing that was acknowledged before Close returned,
// and write nothing until Open, neither to the database nor to a copy of it.
func TestR12FenceAgainstWriters(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"clone", "dump"} {
		t.Run(by, func(t *testing.T) {
			w := newWorld(t)
			w.admin(t, w.name, "CREATE TABLE log (n bigint PRIMARY KEY); ALTER TABLE log OWNER TO "+ident(w.role))
			ws := w.write(t, 4, w.c.URI(w.role, w.password, w.name), w.reachable(t))
			ws.await(t, open)

			require.NoError(t, w.db.Close(t.Context()))
			ws.phase.Store(fenced)
			// The writes that Close terminated are answered by now, or never.
			before := w.state(t)
			snap := w.take(t)
			w.update(t)
			if by == "dump" {
				require.NoError(t, w.db.Tidy(t.Context()))
			}
			r := w.restore(t, snap)
			require.Equal(t, before, w.state(t))
			require.NoError(t, r.Undo(t.Context()))
			w.restore(t, snap)
			require.Equal(t, before, w.state(t))
			require.Zero(t, ws.count(fenced), "written while it was closed")
			ws.phase.Store(reopened)
			require.NoError(t, w.db.Open(t.Context()))
			ws.await(t, reopened)
			ws.stop()
			require.Zero(t, ws.count(fenced), "written while it was closed")

			conn := w.connect(t, w.c.Admin(w.name))
			defer closeConn(conn)
			rows, err := conn.Query(t.Context(), "SELECT n FROM log")
			require.NoError(t, err)
			list, err := pgx.CollectRows(rows, pgx.RowTo[int64])
			require.NoError(t, err)
			there := map[int64]bool{}
			for _, n := range list {
				there[n] = true
			}
			for _, phase := range []int32{open, reopened} {
				for _, n := range ws.acked[phase] {
					require.True(t, there[n], "%d was acknowledged and is gone", n)
				}
			}
			t.Logf("acknowledged before the fence %d, after it %d", len(ws.acked[open]), len(ws.acked[reopened]))
			require.NoError(t, w.db.Tidy(t.Context()))
		})
	}
}

// If the application connects as a superuser too, the database cannot close it out.
// Close warns even if it does not come back at once. A backup while it is connected is
// TestSessionOfASuperuserPreventsOnlyTheClone, and one that keeps coming back
// TestSuperuserThatKeepsComingBack.
func TestSharedRoleIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var notes []string
	w.db.Observe = func(e backup.Event) {
		if e.Kind == backup.EventWarning {
			notes = append(notes, string(e.Kind)+": "+e.Text)
		}
	}
	user, err := w.app(t)
	require.NoError(t, err)
	defer closeConn(user)
	require.NoError(t, w.db.Close(t.Context()))
	require.Empty(t, notes, "the application has another role")
	require.NoError(t, w.db.Open(t.Context()))

	shared := w.connect(t, w.c.Admin(w.name))
	defer closeConn(shared)
	require.NoError(t, w.db.Close(t.Context()), "it does not come back at once")
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], string(backup.EventWarning)+": ")
	require.Contains(t, notes[0], "postgres")
	require.NotContains(t, notes[0], w.c.Password)

	later := w.connect(t, w.c.Admin(w.name)) // nothing keeps it out
	defer closeConn(later)
	_, err = later.Exec(t.Context(), "INSERT INTO children (name) VALUES ('behind the fence')")
	require.NoError(t, err)
}
