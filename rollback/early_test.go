package rollback_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// An early role makes a snapshot before users are kept out.
type early struct {
	data
	err error
}

func (d early) Prepare(context.Context) (snapshot func(context.Context) (string, error), drop func(context.Context) error, err error) {
	drop = func(context.Context) error { return d.w.call("drop "+d.part, func() error { return nil }) }
	return d.used, drop, d.w.call("prepare "+d.part, func() error { return d.err })
}

func (d early) used(ctx context.Context) (ref string, err error) {
	err = d.w.call("use what was prepared", func() error { return nil })
	if err == nil {
		ref, err = d.Snapshot(ctx)
	}
	return ref, err
}

func TestR9SnapshotIsPreparedWhileUsersWork(t *testing.T) {
	before := func(w *world, first, second string) bool {
		a, b := slices.Index(w.calls, first), slices.Index(w.calls, second)
		return a >= 0 && b > a
	}
	for name, c := range map[string]struct {
		err  error
		note bool
	}{
		"prepared":          {},
		"it fails":          {errors.New("a file changes while it is read"), true},
		"has no use for it": {errors.ErrUnsupported, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "ASP")
			u := w.update()
			u.Data[0].Data = early{data{w, "ASP"}, c.err}
			var notes []string
			u.Observe = func(e rollback.Event) { notes = append(notes, e.Text) }
			plan, err := u.Plan(t.Context())
			require.NoError(t, err)
			res, err := u.Run(t.Context(), plan)
			require.NoError(t, err)
			require.Equal(t, rollback.Committed, res.Outcome)
			require.True(t, before(w, "prepare ASP", "fence.close"), "%v", w.calls)
			require.True(t, before(w, "fence.close", "snapshot ASP"), "%v", w.calls)
			require.Equal(t, c.err == nil, slices.Contains(w.calls, "use what was prepared"))
			require.NotContains(t, w.calls, "drop ASP")
			require.Equal(t, c.note, slices.Contains(notes, "ASP is backed up only when users are kept out: a file changes while it is read"))
		})
	}
}

// What was prepared is removed if the update goes no further.
func TestPreparedSnapshotOfAnAbandonedUpdateIsRemoved(t *testing.T) {
	for _, fails := range []string{"fence.close", "app.stop"} {
		w := newWorld(t, "ASP")
		u := w.update()
		u.Data[0].Data = early{data: data{w, "ASP"}}
		plan, err := u.Plan(t.Context())
		require.NoError(t, err)
		w.fault = func(call string) error {
			if call == fails {
				return errors.New("it fails")
			}
			return nil
		}
		res, err := u.Run(t.Context(), plan)
		require.Error(t, err)
		require.Equal(t, rollback.Abandoned, res.Outcome, "%v", err)
		require.Contains(t, w.calls, "drop ASP", fails)
		require.NotContains(t, w.calls, "snapshot ASP")
		w.stands(t, oldVersion, oldRows)
	}
}
