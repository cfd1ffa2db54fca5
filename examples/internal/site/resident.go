package site

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/schedule"
)

// secretFiles returns the files with secrets that the configuration names.
func (c *Config) secretFiles() []string {
	paths := []string{c.Server.PasswordFile, c.Server.ProxyFile, c.Notify.Mail.PasswordFile}
	for _, p := range c.Postgres {
		paths = append(paths, p.URIFile)
	}
	for _, p := range c.MSSQL {
		paths = append(paths, p.URIFile)
	}
	return paths
}

// Credentials returns the names of the files that the configuration expects among
// systemd's credentials.
func (c *Config) Credentials() (names []string) {
	for _, file := range c.secretFiles() {
		if rest, ok := strings.CutPrefix(file, credentials+"/"); ok && path.Base(rest) == rest {
			names = append(names, rest)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// BacksUp reports whether there is data of which snapshots are taken.
func (c *Config) BacksUp() bool { return c.NoData == "" }

// HasCopies reports whether there is a second place.
func (c *Config) HasCopies() bool { return c.Copies.given() }

// Starts returns the slots of the next weeks in which an update may start (R13),
// from the next day on; none if it may start at any time, or if there is none.
func (c *Config) Starts(now time.Time) []schedule.Slot {
	if c.Window.AnyTime != "" {
		return nil
	}
	msk := schedule.MSK(0)
	y, m, d := now.In(msk).Date()
	w := c.Window.hours(false, c.Calendar.days)
	plan, err := w.Planner.Plan(time.Date(y, m, d+1, 0, 0, 0, 0, msk), w.Estimate, 40)
	if err != nil {
		return nil
	}
	return plan.Slots
}
