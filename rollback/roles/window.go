package roles

import (
	"context"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
)

// A Window is a [rollback.Window]: the support hours, long enough for the whole
// Estimate (R13). To go without one use [rollback.AnyTime].
type Window struct {
	Planner  schedule.Planner
	Estimate schedule.Estimate // Backup, Checks and Rollback are required
}

// Next returns the first slot at or after now. The error is that of
// [schedule.Planner.Next].
func (w Window) Next(_ context.Context, now time.Time) (rollback.Slot, error) {
	slot, err := w.Planner.Next(now, w.Estimate)
	return rollback.Slot{Start: slot.Start, LatestStart: slot.LatestStart}, err
}

// Fits returns nil if everything after the backup fits from now on. The error is
// that of [schedule.Planner.Fits].
func (w Window) Fits(_ context.Context, now time.Time) error {
	rest := w.Estimate
	rest.BackupDone = true
	return w.Planner.Fits(now, rest)
}

// Measured returns a window with an Estimate whose Backup is at least as long as
// the last snapshots took together (R11). It measures each dataset that is a
// [Data].
func (w Window) Measured(data []rollback.Dataset) (Window, error) {
	var took time.Duration
	for _, d := range data {
		if measured, ok := d.Data.(interface{ lastTook() (time.Duration, error) }); ok {
			last, err := measured.lastTook()
			if err != nil {
				return w, err
			}
			took += last
		}
	}
	w.Estimate.Backup = max(w.Estimate.Backup, took)
	return w, nil
}
