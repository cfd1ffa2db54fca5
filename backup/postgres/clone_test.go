package postgres

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// A database has at most one clone, whatever runs were killed.
func TestOnlyTheNewestBackupHasAClone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	first := w.take(t)
	f1, err := readFacts(first.Meta)
	require.NoError(t, err)
	// Complete, but its snapshot was never sealed.
	_, err = w.db.Backup(t.Context(), t.TempDir())
	require.NoError(t, err)
	require.Equal(t, []string{kindClone}, w.kinds(t))
	require.NotContains(t, w.databases(t), f1.Clone)

	var stages []backup.EventKind
	var notes string
	w.db.Observe = func(e backup.Event) {
		stages = append(stages, e.Kind)
		if e.Kind == backup.EventWarning {
			notes += e.Text
		}
	}
	second := w.take(t)
	require.Equal(t, []backup.EventKind{eventClone, eventDump}, slices.Compact(stages))
	f2, err := readFacts(second.Meta)
	require.NoError(t, err)
	require.Equal(t, []string{f2.Clone}, w.clones(t))

	w.update(t)
	stages = nil
	_, err = w.store.Restore(t.Context(), second.ID, w.db)
	require.NoError(t, err)
	require.Equal(t, before, w.state(t))
	require.Equal(t, []backup.EventKind{eventClone, eventCompare, eventSwap}, slices.Compact(stages), "from the clone")
	require.Empty(t, notes)
	stages = nil
	_, err = w.store.Restore(t.Context(), first.ID, w.db)
	require.NoError(t, err)
	require.Equal(t, before, w.state(t))
	require.Equal(t, []backup.EventKind{backup.EventWarning, eventLoad, eventCompare, eventSwap}, slices.Compact(stages))
	require.Contains(t, notes, "the clone is gone")
}

func (w *world) clones(t *testing.T) (names []string) {
	t.Helper()
	for _, name := range w.databases(t) {
		if kindOf(w.name, name) == kindClone {
			names = append(names, name)
		}
	}
	return names
}

// withoutClone takes a backup for which no clone can be made, and proves it.
func (w *world) withoutClone(t *testing.T, say string) {
	t.Helper()
	before := w.state(t)
	var notes []string
	w.db.Observe = func(e backup.Event) {
		if e.Kind == backup.EventWarning {
			notes = append(notes, e.Text)
		}
	}
	snap := w.take(t)
	require.Len(t, notes, 1)
	require.Contains(t, notes[0], say)
	f, err := readFacts(snap.Meta)
	require.NoError(t, err)
	require.Equal(t, notes[0], w.name+": no clone: "+f.NoClone)
	require.Empty(t, f.Clone)
	require.Empty(t, w.kinds(t))
	_, err = w.store.Prove(t.Context(), snap.ID, w.db)
	require.NoError(t, err)
	require.Equal(t, before, w.state(t))
}

// The fence does not stop superusers. A session of one prevents the clone, and not
// the backup.
func TestSessionOfASuperuserPreventsOnlyTheClone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.db.Close(t.Context()))
	monitor := w.connect(t, w.c.Admin(w.name))
	defer closeConn(monitor)
	w.withoutClone(t, "being accessed by other users")
	require.NoError(t, monitor.Ping(t.Context()), "a backup terminates no session")
}
