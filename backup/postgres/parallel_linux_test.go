package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// Two jobs of pg_restore that make indexes of partitions may wait for each other, in one run and not in the next.
func TestDumpThatSeveralJobsCannotRestore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	version := w.number(t, "postgres", "SELECT current_setting('server_version_num')::int / 10000")
	w.db.Bin = fakeTools(t, fmt.Sprintf("%d.0", version), `case "$*" in *--jobs=2*) echo 'pg_restore: error: deadlock detected' >&2; exit 1;; esac; exec '`+w.c.Bin+`/'"$(basename "$0")" "$@"`)
	snap := w.take(t)
	require.NoError(t, w.db.Tidy(t.Context()))
	said := 0
	w.db.Observe = func(e backup.Event) {
		if e.Kind == backup.EventWarning && strings.Contains(e.Text, "restored by one: pg_restore") {
			said++
		}
	}
	_, err := w.store.Prove(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.Equal(t, 1, said)
	require.Empty(t, w.kinds(t))
	w.restore(t, snap)
	require.Equal(t, 2, said)
	require.Equal(t, before, w.state(t))
}
