package rollback_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback"
)

// A slowData takes an hour of virtual time for each call.
type slowData struct {
	data
	r      *rush
	strike func(call string) error
	ref    string // given to each snapshot, if not ""
	reads  bool   // Verify takes an hour as well
}

// A rush counts the calls that are at work.
type rush struct {
	mu        sync.Mutex
	now, most int
}

func (d slowData) slowly(ctx context.Context, call string) error {
	d.r.mu.Lock()
	d.r.now++
	d.r.most = max(d.r.most, d.r.now)
	d.r.mu.Unlock()
	defer func() { d.r.mu.Lock(); d.r.now--; d.r.mu.Unlock() }()
	if d.strike != nil {
		if err := d.strike(call); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Hour):
		return nil
	}
}

func (d slowData) Snapshot(ctx context.Context) (string, error) {
	if err := d.slowly(ctx, "snapshot"); err != nil {
		return "", err
	}
	ref, err := d.data.Snapshot(ctx)
	if d.ref != "" {
		ref = d.ref
	}
	return ref, err
}

func (d slowData) Verify(ctx context.Context, ref string) error {
	if d.reads {
		if err := d.slowly(ctx, "verify"); err != nil {
			return err
		}
	}
	return d.data.Verify(ctx, ref)
}

func (d slowData) Restore(ctx context.Context, ref string) error {
	if err := d.slowly(ctx, "restore"); err != nil {
		return err
	}
	return d.data.Restore(ctx, ref)
}

// rushed runs an update of six datasets, three at a time, in virtual time.
func rushed(t *testing.T, kind string, change func(w *world, i int, d *slowData), more ...func(*rollback.Update)) (w *world, r *rush, notes []string, res rollback.Result, err error) {
	var names []string
	for i := range 6 {
		names = append(names, fmt.Sprintf("base%d", i+1))
	}
	w, r = newWorld(t, names...), &rush{}
	w.write(t, "archive.base6."+newVersion, kind)
	synctest.Test(t, func(t *testing.T) {
		u := w.update()
		u.Parallel, u.Deadlines.Snapshot, u.Deadlines.Restore = 3, 3*time.Hour, 3*time.Hour
		for i := range u.Data {
			d := slowData{data: data{w, names[i]}, r: r}
			change(w, i, &d)
			u.Data[i].Data = d
		}
		u.Observe = func(e rollback.Event) {
			if e.Kind == rollback.EventNote {
				notes = append(notes, e.Text)
			}
		}
		for _, m := range more {
			m(u)
		}
		plan, perr := u.Plan(t.Context())
		require.NoError(t, perr)
		res, err = u.Run(t.Context(), plan)
		require.Zero(t, r.now, "none is left running")
	})
	return w, r, notes, res, err
}

// lasted returns the time from the first begin of a step to the last end.
func (w *world) lasted(t *testing.T, step rollback.Step) (first, last time.Time, kinds []rollback.EventKind) {
	records, err := rollback.ReadRecords(w.path("state"))
	require.NoError(t, err)
	for _, r := range records {
		if r.Step == step {
			if first.IsZero() {
				first = r.Time
			}
			last, kinds = r.Time, append(kinds, r.Kind)
		}
	}
	return first, last, kinds
}

func TestDatasetsAreBackedUpSeveralAtATime(t *testing.T) {
	w, r, notes, res, err := rushed(t, "good", func(*world, int, *slowData) {})
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Equal(t, newVersion, w.consistent(t))
	require.Equal(t, 3, r.most)
	require.Len(t, res.Refs, 6)
	first, last, kinds := w.lasted(t, rollback.StepSnapshot)
	require.InDelta(t, 2, last.Sub(first).Hours(), 0.1)
	require.Len(t, kinds, 12, "each has its own begin and end")
	require.Contains(t, strings.Join(notes, "\n"), "snapshot: 3 of 6 done, in progress: base4 has taken 1m0s, base5 has taken 1m0s, base6 has taken 1m0s")
}

// The guard reads all backups again while users are out.
func TestBackupsAreReadSeveralAtATime(t *testing.T) {
	w, r, _, res, err := rushed(t, "good", func(_ *world, _ int, d *slowData) { d.reads = true })
	require.NoError(t, err)
	require.Equal(t, rollback.Committed, res.Outcome)
	require.Equal(t, 3, r.most)
	first, last, kinds := w.lasted(t, rollback.StepGuard)
	require.InDelta(t, 2, last.Sub(first).Hours(), 0.1)
	require.Equal(t, []rollback.EventKind{"begin", "done"}, kinds)
}

// Of several that cannot be read the first one is named, whichever ends first.
func TestABackupThatCannotBeReadEndsTheOthers(t *testing.T) {
	w, _, _, res, err := rushed(t, "good", func(_ *world, i int, d *slowData) {
		read := 0
		d.reads, d.strike = true, func(call string) error {
			if call == "verify" {
				read++
			}
			if read < 2 { // after it was made
				return nil
			}
			switch i {
			case 1:
				time.Sleep(30 * time.Minute)
				return errors.New("the second is damaged")
			case 2:
				time.Sleep(30*time.Minute - time.Nanosecond)
				return errors.New("the third is damaged")
			}
			return nil
		}
	})
	require.Equal(t, rollback.Abandoned, res.Outcome)
	require.ErrorContains(t, err, "is damaged")
	require.NotContains(t, err.Error(), "another one failed")
	require.Equal(t, oldVersion, w.consistent(t))
	require.False(t, w.fenced())
	first, last, kinds := w.lasted(t, rollback.StepGuard)
	require.InDelta(t, 0.5, last.Sub(first).Hours(), 0.1, "the first is canceled, and no other begins")
	require.Equal(t, []rollback.EventKind{"begin", "failed"}, kinds)
	f, ok := errors.AsType[*rollback.Error](err)
	require.True(t, ok)
	require.Equal(t, rollback.ReasonBackup, f.Reason)
	require.ErrorContains(t, err, "the second is damaged")
}

func TestDatasetsAreRestoredSeveralAtATime(t *testing.T) {
	w, r, _, res, err := rushed(t, "bad", func(*world, int, *slowData) {})
	require.Error(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome)
	require.Equal(t, oldVersion, w.consistent(t))
	require.Equal(t, 3, r.most)
	first, last, _ := w.lasted(t, rollback.StepRestore)
	require.InDelta(t, 2, last.Sub(first).Hours(), 0.1)
}

// Users wait: what cannot be backed up ends the others, and is the one cause.
func TestASnapshotThatFailsCancelsTheOthers(t *testing.T) {
	w, _, _, res, err := rushed(t, "good", func(_ *world, i int, d *slowData) {
		if i == 1 {
			d.strike = func(string) error { time.Sleep(30 * time.Minute); return errors.New("the disk is full") }
		}
	})
	require.Equal(t, rollback.Abandoned, res.Outcome)
	require.ErrorContains(t, err, "the disk is full")
	require.NotContains(t, err.Error(), "another one failed")
	require.Equal(t, oldVersion, w.consistent(t))
	require.False(t, w.fenced())
	first, last, kinds := w.lasted(t, rollback.StepSnapshot)
	require.InDelta(t, 0.5, last.Sub(first).Hours(), 0.1)
	require.Equal(t, []rollback.EventKind{"begin", "begin", "begin", "failed", "failed", "failed"}, kinds, "no other was begun, and each end is known")
}

// A restore is not canceled: it must be done in any case.
func TestARestoreThatFailsLetsTheOthersEnd(t *testing.T) {
	fails := 1
	w, _, _, res, err := rushed(t, "bad", func(w *world, i int, d *slowData) {
		if i == 0 {
			d.strike = func(call string) error {
				if call == "restore" && fails > 0 {
					fails--
					return errors.New("the server is starting")
				}
				return nil
			}
		}
	})
	require.Error(t, err)
	require.Equal(t, rollback.RolledBack, res.Outcome, "the second attempt did it")
	require.Equal(t, oldVersion, w.consistent(t))
	_, _, kinds := w.lasted(t, rollback.StepRestore)
	require.Equal(t, []rollback.EventKind{"begin", "begin", "begin", "failed", "done", "done"}, kinds[:6])
	require.NotContains(t, kinds[6:], rollback.EventFailed)
}

// Two that are made at the same time are distinguished as well.
func TestOneReferenceForTwoDatasetsIsRefused(t *testing.T) {
	w, _, _, res, err := rushed(t, "good", func(w *world, i int, d *slowData) {
		if i < 2 {
			d.ref = "snapshot"
			w.write(t, "snapshot", "schema "+oldVersion+"\nrow 1\nrow 2\n")
		}
	})
	require.Equal(t, rollback.Abandoned, res.Outcome)
	require.ErrorContains(t, err, `the reference "snapshot" is in use`)
	require.Equal(t, oldVersion, w.consistent(t))
}

// While one cannot be kept, others that can be are neither canceled nor named with it: who gives them up
// by name would lose them.
func TestOnlyWhatCannotBeKeptIsNamed(t *testing.T) {
	w, _, _, res, err := rushed(t, "bad", func(w *world, i int, d *slowData) {
		w.write(t, "fence", "closed") // what goes without a fence may be newer than its snapshots
		if i == 0 {
			d.strike = func(call string) error {
				if call == "snapshot" && w.read("app.base1") == newVersion {
					return errors.New("invalid page in block 7")
				}
				return nil
			}
		}
	}, func(u *rollback.Update) { u.Fence = rollback.NoFence("a test") })
	require.Equal(t, rollback.NeedsOperator, res.Outcome)
	e, ok := errors.AsType[*rollback.Error](err)
	require.True(t, ok)
	require.Equal(t, []string{"base1"}, e.Unkept)
	require.ErrorContains(t, err, "invalid page in block 7")
	require.NotContains(t, err.Error(), "another one failed")
	_, _, kinds := w.lasted(t, rollback.StepKeep)
	require.Equal(t, []rollback.EventKind{"begin", "begin", "begin", "failed", "done", "done"}, kinds[:6])
}

func TestACallThatEndsItsGoroutineHasFailed(t *testing.T) {
	_, _, _, res, err := rushed(t, "good", func(_ *world, i int, d *slowData) {
		if i == 2 {
			d.strike = func(string) error { runtime.Goexit(); return nil }
		}
	})
	require.Equal(t, rollback.Abandoned, res.Outcome)
	require.ErrorContains(t, err, "the call ended its goroutine")
}

func TestAPanicOfARoleIsTheCallers(t *testing.T) {
	w := newWorld(t, "ASP", "Опека")
	u := w.update()
	u.Parallel = 2
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.crashingAt("snapshot Опека")
	require.True(t, crashing(func() { _, _ = u.Run(t.Context(), plan) }))
	require.Equal(t, oldVersion, recovered(t, w))
}

// A meeting role compares only while another one does.
type meeting struct {
	comparing
	met chan struct{}
}

func (d meeting) Compare(ctx context.Context, ref string) (bool, error) {
	select {
	case d.met <- struct{}{}:
	case <-d.met:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return d.comparing.Compare(ctx, ref)
}

// What was restored is compared as it was restored: several at a time.
func TestR15ComparesSeveralAtATime(t *testing.T) {
	w := newWorld(t, "ASP", "INFO")
	u := w.update()
	u.Parallel = 2
	u.Deadlines.Restore = 10 * time.Second
	met := make(chan struct{})
	for i, d := range u.Data {
		u.Data[i].Data = meeting{comparing{data: d.Data.(data)}, met}
	}
	w.write(t, "archive.ASP."+newVersion, "bad")
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	res, err := u.Run(t.Context(), plan)
	require.Equal(t, rollback.RolledBack, res.Outcome, "%v", err)
	w.stands(t, oldVersion, oldRows)
}

// A role that panics while it compares ends as any other call that panics.
func TestPanicWhileComparingIsTheCallers(t *testing.T) {
	w := newWorld(t, "ASP")
	u := w.update()
	u.Data[0].Data = comparing{data: data{w, "ASP"}}
	w.write(t, "archive.ASP."+newVersion, "bad")
	plan, err := u.Plan(t.Context())
	require.NoError(t, err)
	w.fault = func(call string) error {
		if call == "compare ASP" {
			panic("a role's own fault")
		}
		return nil
	}
	require.PanicsWithValue(t, "a role's own fault", func() { _, _ = u.Run(t.Context(), plan) })
}
