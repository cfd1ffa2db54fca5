package site

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
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

// window is the update's: the gate, or by name any time.
func (s *Site) window(firstOfYear bool) rollback.Window {
	if why := cmp.Or(s.AnyTime, s.Config.Window.AnyTime); why != "" {
		return rollback.AnyTime(why)
	}
	return s.Config.Window.gate(firstOfYear, s.Config.Calendar.days)
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

// calendarConfig says when releases are expected, and what is known of days off
// besides what is built in.
type calendarConfig struct {
	Weekday string `toml:"weekday"` // "wednesday", as R1 says, or "monday", as R2's examples have it
	Decrees string `toml:"decrees"` // a file with later decrees and the support's own days off, as schedule.Production.Load reads it

	days *schedule.Production
}

// read checks the config and reads the file that it names.
func (c *calendarConfig) read() error {
	if !slices.Contains([]string{"", "wednesday", "monday"}, c.Weekday) {
		return fmt.Errorf("calendar.weekday = %q: allowed are wednesday, monday", c.Weekday)
	}
	c.days = schedule.Russia()
	if c.Decrees == "" {
		return nil
	}
	f, err := os.Open(c.Decrees)
	if err != nil {
		return fmt.Errorf("calendar.decrees: %w", err)
	}
	defer func() { _ = f.Close() }()
	if c.days, err = c.days.Load(f); err != nil {
		return fmt.Errorf("calendar.decrees: %s: %w", c.Decrees, err)
	}
	return nil
}

// Days are the days off that are known.
func (c *Config) Days() *schedule.Production { return c.Calendar.days }

// Agenda lays a span of days out, with what is expected in it.
func (c *Config) Agenda(first, last schedule.Date) (schedule.Agenda, error) {
	return c.Calendar.releases().Agenda(first, last, schedule.Hours{Workdays: c.Calendar.days})
}

// Clock shows times as people at the site read them.
func (c *Config) Clock() Clock { return Clock{c.Window.zone()} }

// releases are those that are expected (R1).
func (c calendarConfig) releases() schedule.Calendar {
	cal := schedule.Wednesdays()
	if c.Weekday == "monday" {
		cal = schedule.Mondays()
	}
	if c.days != nil {
		cal.Workdays = c.days
	}
	return cal
}

// CrossesYear reports whether one of the parts leads into another year, so that
// R14 applies.
func CrossesYear(parts []rollback.PlanPart) (bool, error) {
	for _, p := range parts {
		from, err := parseOrZero(p.From.Version)
		if err != nil {
			return false, err
		}
		to, err := parseOrZero(p.To.Version)
		if err != nil {
			return false, err
		}
		if crosses, err := (schedule.Numbering{}).CrossesYear(from, to); crosses || err != nil {
			return crosses, err
		}
	}
	return false, nil
}

// parseOrZero parses a version; no text is no version.
func parseOrZero(s string) (v version.Version, err error) {
	if s != "" {
		v, err = version.Parse(s)
	}
	return v, err
}
