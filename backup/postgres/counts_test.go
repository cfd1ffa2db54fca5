package postgres

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestR15CountsWhatWasEntered(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.db.Close(t.Context()))
	got, err := w.db.Counts(t.Context())
	require.NoError(t, err, "while users are closed out")
	require.NoError(t, w.db.Open(t.Context()))
	want := map[string]int64{"public.children": 500, `Схема "1".Таблица`: 2, "public.empty": 0, "public.parts1": 1}
	require.Equal(t, want, got, "without sequences, views and system tables")

	w.admin(t, w.name, "DELETE FROM children WHERE id <= 10; CREATE TABLE late (); INSERT INTO late DEFAULT VALUES")
	want["public.children"], want["public.late"] = 490, 1
	got, err = w.db.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)

	// One user writes to a table and another changes its structure: the count ends
	// with its context, and the users go on.
	conn := w.connect(t, w.c.Admin(w.name))
	defer closeConn(conn)
	_, err = conn.Exec(t.Context(), "BEGIN; INSERT INTO late DEFAULT VALUES")
	require.NoError(t, err)
	got, err = w.db.Counts(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), got["public.late"], "without what is not committed")
	_, err = conn.Exec(t.Context(), "ALTER TABLE late ADD COLUMN x int")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = w.db.Counts(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = conn.Exec(t.Context(), "COMMIT")
	require.NoError(t, err)
}
