package site

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
)

// window is the gate of R13: the support's hours, wide enough for the site's
// estimate.
type window struct {
	planner  schedule.Planner
	estimate schedule.Estimate
}

func (w window) Next(_ context.Context, now time.Time) (rollback.Slot, error) {
	slot, err := w.planner.Next(now, w.estimate)
	return rollback.Slot{Start: slot.Start, LatestStart: slot.LatestStart}, err
}

// Fits is asked just before the first damage, when the backup is done.
func (w window) Fits(_ context.Context, now time.Time) error {
	rest := w.estimate
	rest.BackupDone = true
	return w.planner.Fits(now, rest)
}

// window is the update's: the gate, or by name any time. A backup that took
// longer the last time than the configuration says is believed (R11).
func (s *Site) window(firstOfYear bool, data []rollback.Dataset) (rollback.Window, error) {
	if why := cmp.Or(s.AnyTime, s.Config.Window.AnyTime); why != "" {
		return rollback.AnyTime(why), nil
	}
	gate := s.Config.Window.gate(firstOfYear, s.Config.Calendar.days)
	var took time.Duration
	for _, d := range data {
		last, err := s.Store().Took(snapshotOf(d.Name))
		if err != nil {
			return nil, err
		}
		took += last
	}
	if took > gate.estimate.Backup {
		if s.Observe.Warn != nil {
			s.Observe.Warn(fmt.Sprintf("the last backup took %v: that is planned for, and not the %v of window.backup", took.Round(time.Second), gate.estimate.Backup))
		}
		gate.estimate.Backup = took
	}
	return gate, nil
}

func (w windowConfig) gate(firstOfYear bool, days schedule.Workdays) window {
	e := schedule.Estimate{
		Backup: time.Duration(w.Backup), Checks: time.Duration(w.Checks), Rollback: time.Duration(w.Rollback),
		FirstOfYear: firstOfYear, FirstOfYearExtra: time.Duration(w.FirstOfYearExtra),
	}
	if w.Typical {
		e.Case = schedule.Typical
	}
	return window{schedule.Planner{Local: w.zone(), Hours: schedule.Hours{Workdays: days}}, e}
}

// Slots returns the next n times at which an update may start (R13), and why
// there is none on the days between; none where any time will do.
func Slots(u *rollback.Update, now time.Time, n int) (schedule.Plan, error) {
	gate, ok := u.Window.(window)
	if !ok {
		return schedule.Plan{}, nil
	}
	return gate.planner.Plan(now, gate.estimate, n)
}

// zone is the site's, nil if it is Moscow's.
func (w windowConfig) zone() *time.Location {
	zone, err := schedule.ParseZone(w.Local)
	if err != nil || zone == schedule.MSK(0) { // an error was told when the config was read
		return nil
	}
	return zone
}
