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
	for fails, dropped := range map[string][]string{"fence.close": {"ASP", "INFO"}, "app.stop": {"ASP", "INFO"}, "snapshot ASP": {"INFO"}} {
		w := newWorld(t, "ASP", "INFO")
		u := w.update()
		for i, d := range u.Data {
			u.Data[i].Data = early{data: d.Data.(data)}
		}
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
		for _, part := range w.parts {
			require.Equal(t, slices.Contains(dropped, part), slices.Contains(w.calls, "drop "+part), "%s: %v", fails, w.calls)
		}
		w.stands(t, oldVersion, oldRows)
	}
}

// Nothing is pending while snapshots are prepared, so that an update that is canceled then has
// touched neither the fence nor the application.
func TestCanceledWhileSnapshotsArePrepared(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	u.Data[0].Data = early{data: data{w, "ASP"}}
	ctx, cancel := context.WithCancel(t.Context())
	plan, err := u.Plan(ctx)
	require.NoError(t, err)
	w.calls = nil
	w.fault = func(call string) error {
		if call == "prepare ASP" {
			cancel()
			require.Nil(t, w.status(t).Pending)
		}
		return nil
	}
	res, err := u.Run(ctx, plan)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, rollback.Nothing, res.Outcome)
	require.Nil(t, w.status(t).Pending)
	require.Contains(t, w.calls, "drop ASP")
	require.NotContains(t, w.calls, "fence.close")
	require.NotContains(t, w.calls, "app.start")
	w.stands(t, oldVersion, oldRows)
}
