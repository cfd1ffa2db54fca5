package postgres

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// A reaper stops a run for good before its n-th step, including its clean-up, as
// kill -9 does. Reading is not a step, nor is a statement inside a transaction.
type reaper struct {
	mu     sync.Mutex
	n      int
	inside bool
	dead   bool
	last   string // the step that did not happen
}

func (r *reaper) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	word, _, _ := strings.Cut(strings.ToLower(data.SQL), " ")
	ends := word == "commit" || word == "rollback"
	if step := word != "select" && word != "set" && word != "show" && (!r.inside || ends); step && !r.dead {
		r.n--
		r.dead = r.n == 0
		r.last = data.SQL
	}
	r.inside = word == "begin" || r.inside && !ends
	if r.dead {
		ctx, cancel := context.WithCancelCause(ctx)
		cancel(errors.New("killed"))
		return ctx
	}
	return ctx
}

func (r *reaper) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// kill runs do for its steps from the first one on, stops it before that step, and
// calls check: for each step of a part, and with ASPUPDATE_SOAK=1 of a whole, otherwise for each fifth one.
// The last time do runs to its end.
func (w *world) kill(t *testing.T, first int, do func(db *Database) error, check func(step string)) {
	t.Helper()
	each := 5
	if first > 1 || os.Getenv("ASPUPDATE_SOAK") == "1" {
		each = 1
	}
	for n := first; ; n += each {
		require.Less(t, n, 100, "too many steps")
		db := *w.db
		r := &reaper{n: n}
		db.tracer = r
		err := do(&db)
		if !r.dead {
			require.NoError(t, err)
			require.Greater(t, n, first+2, "too few steps")
			return
		}
		require.Error(t, err, "stopped before %s", r.last)
		check(r.last)
	}
}

func TestKilledAtEveryStepOfARestore(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"clone", "dump"} {
		t.Run(source, func(t *testing.T) {
			w := newWorld(t)
			before := w.state(t)
			snap := w.take(t)
			dir, err := w.store.Path(snap.ID)
			require.NoError(t, err)
			w.update(t)
			changed := w.state(t)
			if source == "dump" {
				require.NoError(t, w.db.Tidy(t.Context()))
			}
			var done backup.Restored
			w.kill(t, 1, func(db *Database) (err error) {
				done, err = db.Restore(t.Context(), dir, snap.Meta)
				return err
			}, func(step string) {
				require.NoError(t, w.db.Open(t.Context()), "any call recovers")
				require.Equal(t, changed, w.state(t), step)
				require.NotContains(t, w.kinds(t), kindNew, step)
				require.NotContains(t, w.kinds(t), kindOld, step)
			})
			require.Equal(t, before, w.state(t))
			done.(*restored).d = w.db
			require.NoError(t, done.Undo(t.Context()))
			require.Equal(t, changed, w.state(t))
		})
	}
}

func TestKilledAtEveryStepOfAnUndo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	w.update(t)
	changed := w.state(t)
	r, err := w.store.Restore(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	want := before
	w.kill(t, 1, func(db *Database) error {
		r.(*restored).d = db
		return r.Undo(t.Context())
	}, func(step string) {
		require.NoError(t, w.db.Open(t.Context()), "any call recovers")
		got := w.state(t)
		if got != want { // the swap is the one step that changes it
			require.Equal(t, changed, got, step)
			want = changed
		}
	})
	require.Equal(t, changed, w.state(t))
	require.Equal(t, []string{kindClone}, w.kinds(t))
}

func TestKilledAtEveryStepOfABackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	w.kill(t, 1, func(db *Database) error {
		_, err := w.store.Take(t.Context(), "x", db)
		return err
	}, func(step string) {
		require.NoError(t, w.db.Open(t.Context()), "any call recovers")
		require.Equal(t, before, w.state(t), step)
		require.Empty(t, w.kinds(t), step)
	})
	require.Equal(t, []string{kindClone}, w.kinds(t))
}

func TestKilledAtEveryStepOfTheFence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.kill(t, 1, func(db *Database) error { return db.Close(t.Context()) }, func(step string) {
		require.NoError(t, w.db.Open(t.Context()))
		require.Equal(t, 17, w.limit(t), step)
	})
	require.Zero(t, w.limit(t))
	require.NoError(t, w.db.Open(t.Context()))
	require.Equal(t, 17, w.limit(t))
}
