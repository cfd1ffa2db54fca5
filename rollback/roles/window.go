package roles

import (
	"cmp"
	"context"
	"slices"
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
// the last snapshots took, made as many at a time as [rollback.Update].Parallel says, and whose
// Rollback is at least as long as their last proofs took together, which restored them one at a
// time, and an installer takes (R11). It measures each dataset that is a [Data].
//
// Migrations has for each [rollback.Migration] how long the last one took, as
// [rollback.ReadHistory] has it, or 0. Restructuring is at least as long as these take, as many
// at a time. Where it is zero each takes 15 min or more (R11), and without Typical all take at
// least 2 h.
func (w Window) Measured(data []rollback.Dataset, migrations []time.Duration, parallel int) (Window, error) {
	w.Estimate.Restructuring = restructuring(w.Estimate, migrations, parallel)
	var took []time.Duration
	var back time.Duration
	for _, d := range data {
		measured, ok := d.Data.(interface {
			lastTook() (time.Duration, error)
			lastProof() (time.Duration, error)
		})
		if !ok {
			continue
		}
		last, err := measured.lastTook()
		if err != nil {
			return w, err
		}
		took = append(took, last)
		if last, err = measured.lastProof(); err != nil {
			return w, err
		}
		back += last
	}
	if back > 0 {
		back += cmp.Or(w.Estimate.Install, usualInstall)
	}
	w.Estimate.Backup, w.Estimate.Rollback = max(w.Estimate.Backup, abreast(took, parallel)), max(w.Estimate.Rollback, back)
	return w, nil
}

// restructuring returns how long all migrations take, zero for R11's time.
func restructuring(e schedule.Estimate, migrations []time.Duration, parallel int) time.Duration {
	if e.Restructuring != 0 || len(migrations) == 0 {
		return max(e.Restructuring, abreast(migrations, parallel))
	}
	const typical, worst = 15 * time.Minute, 2 * time.Hour // R11
	var each []time.Duration
	for _, last := range migrations {
		each = append(each, max(last, typical))
	}
	all := abreast(each, parallel)
	switch {
	case e.Typical && all > typical, all > worst:
		return all
	}
	return 0
}

// abreast returns how long calls take together that begin in order, several at a time.
func abreast(calls []time.Duration, parallel int) time.Duration {
	ends := make([]time.Duration, max(parallel, 1))
	for _, d := range calls {
		slices.Sort(ends)
		ends[0] += d
	}
	return slices.Max(ends)
}

// usualInstall is how long an installer takes at most, as a rule (R11).
const usualInstall = 4 * time.Minute
