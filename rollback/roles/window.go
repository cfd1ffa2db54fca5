package roles

import (
	"context"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
)

// A Window is a [rollback.Window] (R13): the support's hours, long enough for
// the whole Estimate. [rollback.AnyTime] goes without one.
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

// Fits fails unless all but the backup fits when it starts now: it is called
// when the backup is done. The error is that of [schedule.Planner.Fits].
func (w Window) Fits(_ context.Context, now time.Time) error {
	rest := w.Estimate
	rest.BackupDone = true
	return w.Planner.Fits(now, rest)
}

// Measured returns the window with an Estimate whose Backup is at least as long
// as the last snapshots of data took together (R11). It counts each [Data];
// other roles do not know.
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
