package site

import (
	"fmt"
	"os"
	"slices"

	"github.com/aspupdate/aspupdate/schedule"
)

// A calendarConfig says when releases are expected, and adds days off to those
// that are built in.
type calendarConfig struct {
	Weekday string `toml:"weekday"` // "wednesday", as R1 says, or "monday", as R2's examples have it
	Decrees string `toml:"decrees"` // a file for schedule.Production.Load: later decrees, and days off of the support

	Epochs map[string]string `toml:"epochs"` // R2: by global version, the month of its first release; those that follow the regulation if there are none

	days      *schedule.Production
	numbering schedule.Numbering
}

// read checks the configuration and reads the file that it names.
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

// Days returns the known days off.
func (c *Config) Days() *schedule.Production { return c.Calendar.days }

// Agenda returns the days from first to last, with the releases that are expected.
func (c *Config) Agenda(first, last schedule.Date) (schedule.Agenda, error) {
	return c.Calendar.releases().Agenda(first, last, c.Window.support(c.Calendar.days))
}

// releases returns the calendar of expected releases (R1).
func (c calendarConfig) releases() schedule.Calendar {
	cal := schedule.Calendar{}
	if c.Weekday == "monday" {
		cal = schedule.Mondays()
	}
	cal.Numbering = c.numbering
	if c.days != nil {
		cal.Workdays = c.days
	}
	return cal
}
