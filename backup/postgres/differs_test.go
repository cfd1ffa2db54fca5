package postgres

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
)

// drop drops what is beside the live database and of that kind.
func (w *world) drop(t *testing.T, kind string) error {
	t.Helper()
	s, err := w.db.begin(t.Context())
	require.NoError(t, err)
	defer s.close()
	return s.dropOurs(t.Context(), func(k string, _ bool) bool { return k == kind })
}

// steps counts the steps of do, see [world.kill].
func (w *world) steps(t *testing.T, do func(db *Database) error) int {
	t.Helper()
	const many = 1000
	db, r := *w.db, &reaper{n: many}
	db.tracer = r
	require.NoError(t, do(&db))
	return many - r.n
}

// A restore that differs is killed at every step of keeping it, and of putting it in place
// when a person has accepted the differences: the live database is the old or the accepted one.
func TestKilledAtEveryStepOfARestoreThatDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	dir, err := w.store.Path(snap.ID)
	require.NoError(t, err)
	w.update(t)
	changed := w.state(t)
	require.NoError(t, w.db.Tidy(t.Context()))
	m := respell(t, snap.Meta, func(f *facts) { f.Tables[0].Rows++ })

	var differences []string
	restore := func(db *Database) error {
		_, err := db.Restore(t.Context(), dir, m)
		kept, ok := errors.AsType[*besideError](err)
		if !ok {
			return err
		}
		require.ErrorIs(t, err, backup.ErrMismatch)
		_, differences = kept.Beside()
		return nil
	}
	const late = 3 // the steps before are those of any restore
	w.kill(t, w.steps(t, restore)-late, restore, func(step string) {
		require.NoError(t, w.db.Open(t.Context()), "any call recovers")
		require.Equal(t, changed, w.state(t), step)
		require.NotContains(t, w.kinds(t), kindNew, step)
	})
	require.Equal(t, []string{kindDiffers}, w.kinds(t))
	require.Len(t, differences, 1)
	_, err = w.db.RestoreDiffering(t.Context(), dir, m, []string{"something else"})
	require.ErrorIs(t, err, backup.ErrMismatch, "only what was seen is accepted")
	require.Equal(t, []string{kindDiffers}, w.kinds(t))

	var done backup.Restored
	want := changed
	const compared = 14 // the steps before only read
	w.kill(t, compared, func(db *Database) (err error) {
		done, err = db.RestoreDiffering(t.Context(), dir, m, differences)
		return err
	}, func(step string) {
		require.NoError(t, w.db.Open(t.Context()), "any call recovers")
		require.Equal(t, want, w.state(t), step)
		require.Contains(t, w.kinds(t), kindDiffers, step)
	})
	require.Equal(t, before, w.state(t))
	require.Equal(t, []string{kindOld}, w.kinds(t))
	done.(*restored).d = w.db
	require.NoError(t, done.Undo(t.Context()))
	require.Equal(t, changed, w.state(t))

	// Nothing is beside any more: it is restored anew, and differs as it was accepted.
	_, err = w.db.RestoreDiffering(t.Context(), dir, m, differences)
	require.NoError(t, err)
	require.Equal(t, before, w.state(t))
	require.NoError(t, w.db.Tidy(t.Context()))
	require.Empty(t, w.kinds(t))
}

// One that was repaired by hand, or is of another backup, is not mistaken for the one that was seen.
func TestWhatDiffersIsOfItsBackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	snap := w.take(t)
	dir, err := w.store.Path(snap.ID)
	require.NoError(t, err)
	w.update(t)
	require.NoError(t, w.db.Tidy(t.Context()))
	f, err := readFacts(snap.Meta)
	require.NoError(t, err)
	i := slices.IndexFunc(f.Tables, func(t table) bool { return t.Name == "children" })
	other := respell(t, snap.Meta, func(f *facts) { f.Tables[i].Rows++ })
	_, err = w.db.Restore(t.Context(), dir, other)
	kept, ok := errors.AsType[*besideError](err)
	require.True(t, ok, "%v", err)
	w.admin(t, kept.name, "DELETE FROM children")
	m := respell(t, snap.Meta, func(f *facts) { f.Tables[i].Rows++; f.Bytes++ })
	_, err = w.db.RestoreDiffering(t.Context(), dir, m, kept.differences)
	require.NoError(t, err)
	require.Equal(t, before, w.state(t), "it was restored anew")
}
