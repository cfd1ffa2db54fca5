package site

import (
	"fmt"
	"os"
	"slices"

	"github.com/aspupdate/aspupdate/schedule"
)

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
