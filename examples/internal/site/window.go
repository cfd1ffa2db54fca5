package site

import (
	"cmp"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/schedule"
)

// window is the update's: the gate, or by name any time. A backup that took
// longer the last time than the configuration says is believed (R11).
func (s *Site) window(firstOfYear bool, data []rollback.Dataset) (rollback.Window, error) {
	if why := cmp.Or(s.AnyTime, s.Config.Window.AnyTime); why != "" {
		return rollback.AnyTime(why), nil
	}
	planned := s.Config.Window.gate(firstOfYear, s.Config.Calendar.days)
	gate, err := planned.Measured(data)
	if took := gate.Estimate.Backup; err == nil && took > planned.Estimate.Backup && s.Observe.Warn != nil {
		s.Observe.Warn(fmt.Sprintf("the last backup took %v: that is planned for, and not the %v of window.backup", took.Round(time.Second), planned.Estimate.Backup))
	}
	return gate, err
}

func (w windowConfig) gate(firstOfYear bool, days schedule.Workdays) roles.Window {
	e := schedule.Estimate{
		Backup: time.Duration(w.Backup), Checks: time.Duration(w.Checks), Rollback: time.Duration(w.Rollback),
		FirstOfYear: firstOfYear, FirstOfYearExtra: time.Duration(w.FirstOfYearExtra),
	}
	if w.Typical {
		e.Case = schedule.Typical
	}
	return roles.Window{Planner: schedule.Planner{Local: w.zone(), Hours: schedule.Hours{Workdays: days}}, Estimate: e}
}

// Slots returns the next n times at which an update may start (R13), and why
// there is none on the days between; none where any time will do.
func (u *Update) Slots(now time.Time, n int) (schedule.Plan, error) {
	gate, ok := u.Window.(roles.Window)
	if !ok {
		return schedule.Plan{}, nil
	}
	return gate.Planner.Plan(now, gate.Estimate, n)
}

// zone is the site's, nil if it is Moscow's.
func (w windowConfig) zone() *time.Location {
	zone, err := schedule.ParseZone(w.Local)
	if err != nil || zone == schedule.MSK(0) { // an error was told when the config was read
		return nil
	}
	return zone
}
