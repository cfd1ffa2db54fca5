package site

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/schedule"
)

// window returns the window of an update: the support hours, or any time for a
// reason. If the last backup or restructuring took longer than the configuration says, the plan
// uses its duration (R11).
func (s *Site) window(firstOfYear bool, u *rollback.Update) (rollback.Window, error) {
	if why := cmp.Or(s.AnyTime, s.Config.Window.AnyTime); why != "" {
		return rollback.AnyTime(why), nil
	}
	planned := s.Config.Window.hours(firstOfYear, s.Config.Calendar.days)
	w, err := planned.Measured(u.Data, lastMigrations(u), s.Config.Parallel)
	if took := w.Estimate.Backup; err == nil && took > planned.Estimate.Backup && s.Observe.Warn != nil {
		s.Observe.Warn(fmt.Sprintf("the last backup took %v; the plan uses this and not window.backup = %v", took.Round(time.Second), planned.Estimate.Backup))
	}
	return w, err
}

// lastMigrations returns how long each migration of an update took the last time, 0 where that
// is not known.
func lastMigrations(u *rollback.Update) (list []time.Duration) {
	entries, _ := rollback.ReadHistory(u.Dir) // what is damaged blocks no update; the rest counts
	slices.Reverse(entries)
	limit := cmp.Or(u.Deadlines.Migrate, 3*time.Hour)
	for _, part := range u.Parts {
		for _, m := range part.Migrations {
			last := time.Duration(0)
			for _, e := range entries {
				if took, ok := e.Migrated[m.Name]; ok && took > 0 && took <= limit { // a clock may have been set meanwhile
					last = took
					break
				}
			}
			list = append(list, last)
		}
	}
	return list
}

// hours returns the support hours, long enough for the estimate of the site.
func (w windowConfig) hours(firstOfYear bool, days schedule.Workdays) roles.Window {
	e := schedule.Estimate{
		Backup: time.Duration(w.Backup), Checks: time.Duration(w.Checks), Rollback: time.Duration(w.Rollback),
		Restructuring: time.Duration(w.Restructuring), Typical: w.Typical, FirstOfYear: firstOfYear, FirstOfYearExtra: time.Duration(w.FirstOfYearExtra),
	}
	return roles.Window{Planner: schedule.Planner{
		Local: w.zone(), Hours: w.support(days), QuietHours: w.quiet, Blackouts: w.blackout,
	}, Estimate: e}
}

// support returns the support hours.
func (w windowConfig) support(days schedule.Workdays) schedule.Hours {
	return schedule.Hours{Workdays: days, WorkingSaturdays: w.WorkingSaturdays}
}

// Slots returns the next n slots in which the update may start (R13), and the
// reasons why the days between have none. It returns no slot if the update may
// start at any time.
func (u *Update) Slots(now time.Time, n int) (schedule.Plan, error) {
	w, ok := u.Window.(roles.Window)
	if !ok {
		return schedule.Plan{}, nil
	}
	return w.Planner.Plan(now, w.Estimate, n)
}

// LongestOut returns how long users are out if every part of the update takes as
// long as its estimate and it is rolled back; 0 if there is no estimate because the
// update may start at any time.
func (u *Update) LongestOut() time.Duration {
	w, ok := u.Window.(roles.Window)
	if !ok {
		return 0
	}
	d, _ := w.Estimate.Total() // the window reports an incomplete one
	return d
}

// A StepTime is how long a step of the update takes at most, of all parts and data together.
type StepTime struct {
	Step    string // as in the plan, or "rollback"
	Longest time.Duration
}

// LongestSteps returns the steps that LongestOut is made of, nil if there is no estimate. What
// restructures without a step of its own does so while the application is probed (R11).
func (u *Update) LongestSteps() []StepTime {
	w, ok := u.Window.(roles.Window)
	if !ok {
		return nil
	}
	total, err := w.Estimate.Total()
	if err != nil {
		return nil
	}
	const usualInstall = 4 * time.Minute // R11
	e := w.Estimate
	install := cmp.Or(e.Install, usualInstall)
	restructuring := total - e.Backup - install - e.Checks - e.Rollback
	steps := []StepTime{{"snapshot", e.Backup}, {"install", install}}
	if slices.ContainsFunc(u.Parts, func(p rollback.Part) bool { return len(p.Migrations) > 0 }) {
		steps = append(steps, StepTime{"migrate", restructuring}, StepTime{"probe", e.Checks})
	} else {
		steps = append(steps, StepTime{"probe", restructuring + e.Checks})
	}
	return append(steps, StepTime{"rollback", e.Rollback})
}

// zone returns the zone of the site, nil for Moscow's.
func (w windowConfig) zone() *time.Location {
	zone, err := schedule.ParseZone(w.Local)
	if err != nil || zone == schedule.MSK(0) { // Load reports an error
		return nil
	}
	return zone
}

// Slot returns the slot in which an update may start now or next (R13). It is the
// zero slot if an update may start at any time.
func (c *Config) Slot(now time.Time) (schedule.Slot, error) {
	if c.Window.AnyTime != "" {
		return schedule.Slot{}, nil
	}
	w := c.Window.hours(false, c.Calendar.days)
	return w.Planner.Next(now, w.Estimate)
}
