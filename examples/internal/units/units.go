// Package units makes what starts the program on a machine: units of systemd, or
// tasks of the Windows Task Scheduler. Both are made from one list of jobs.
//
// Each unit bears a mark with a hash of itself. So it is known without any other
// record what is ours, what was changed by hand, and what must be left alone.
package units

import (
	"context"
	"errors"
	"slices"
	"time"
)

// A Job is a command that runs again and again.
type Job struct {
	Name, Description, Command string

	Watches bool   // it runs always, as an account without rights
	Times   []Time // none: it runs when the machine starts
	CatchUp bool   // what was missed is made up for
	Short   bool   // no deadline: an update ends by itself
}

// A Time is when a job runs. It is Moscow time on the days of the week if there
// are Days, and the machine's time otherwise: on a day of the week, on a day
// of the month, or each hour.
type Time struct {
	Days         []time.Weekday // Moscow time
	Weekday      time.Weekday
	Day          int
	Hourly       bool
	Hour, Minute int
}

// Needs is what the configuration needs.
type Needs struct {
	Data, Copies, Watch bool
	Updates             []Time // none: soon after the support's hours begin (R13)
}

// jobs returns all jobs that there can be.
func jobs(updates []Time) []Job {
	if len(updates) == 0 {
		updates = []Time{{Days: []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}, Hour: 10, Minute: 5}}
	}
	saturday := func(hour int) []Time { return []Time{{Weekday: time.Saturday, Hour: hour}} }
	monthly := func(hour int) []Time { return []Time{{Day: 15, Hour: hour}} }
	return []Job{
		{Name: "recover", Description: "Finish a pending update of ASP", Command: "recover", Short: true},
		{Name: "update", Description: "Update ASP if the regulation allows it", Command: "update", Times: updates, Short: true},
		{Name: "watch", Description: "Watch for releases of ASP", Command: "watch", Watches: true, Short: true},
		{Name: "prove", Description: "Restore the backups of ASP beside, and compare them", Command: "prove --since 160h", Times: saturday(2), CatchUp: true},
		{Name: "archive-verify", Description: "Verify the archive of ASP", Command: "archive verify", Times: saturday(22), CatchUp: true},
		{Name: "archive-prune", Description: "Remove old versions of ASP from the archive", Command: "archive prune --keep 6", Times: monthly(20), CatchUp: true},
		{Name: "backups-verify", Description: "Verify the backups of ASP", Command: "backups verify", Times: saturday(23), CatchUp: true},
		{Name: "backups-prune", Description: "Remove old backups of ASP", Command: "backups prune --keep 6", Times: monthly(21), CatchUp: true},
		{Name: "copies-run", Description: "Copy the backups of ASP to the second place", Command: "copies run", Times: []Time{{Hourly: true, Minute: 35}}},
		{Name: "copies-verify", Description: "Verify the copies in the second place", Command: "copies verify", Times: []Time{{Weekday: time.Sunday, Hour: 3}}, CatchUp: true},
	}
}

// Jobs returns the jobs that are needed.
func Jobs(n Needs) []Job {
	return slices.DeleteFunc(jobs(n.Updates), func(j Job) bool {
		switch j.Name {
		case "prove", "backups-verify", "backups-prune":
			return !n.Data
		case "copies-run", "copies-verify":
			return !n.Copies
		}
		return j.Watches && !n.Watch
	})
}

// Machine is where the program and its files are.
type Machine struct {
	Program, Config string
	WatchConfig     string
	Account         string // of the job that watches

	// The files that systemd hands to the units as credentials, by their names.
	Credentials, WatchCredentials []string
}

// A Unit is a file of systemd or a task of Windows.
type Unit struct {
	Name string `json:"name"`
	Text string `json:"text"`
	Job  string `json:"-"`
}

// A State is that of a unit.
type State struct {
	Name  string `json:"name"`
	State string `json:"state"` // installed, disabled, stopped, changed, outdated, unneeded, missing or foreign

	Enabled bool      `json:"enabled"`           // it is started
	Running bool      `json:"running"`           // now
	Last    time.Time `json:"last,omitzero"`     // when it ran last; zero if that is not known
	Result  string    `json:"result,omitempty"`  // "success", or systemd's word for the failure
	Code    int       `json:"code"`              // the exit code
	Next    time.Time `json:"next,omitzero"`     // when it runs next
	Dropins string    `json:"dropins,omitempty"` // files by which a person has changed the unit
}

// Failed reports whether the last run failed.
func (s State) Failed() bool { return s.Result != "" && s.Result != "success" }

// A Manager starts units.
type Manager interface {
	// Units returns what the jobs need.
	Units(jobs []Job, m Machine) ([]Unit, error)
	// Install makes the units what they are, starts them, and removes those that are not needed.
	Install(ctx context.Context, units []Unit, replace bool) (done []State, err error)
	// Remove removes all units of ours.
	Remove(ctx context.Context, replace bool) (done []State, err error)
	// Status returns the state of the units, and of all others of ours.
	Status(ctx context.Context, units []Unit) ([]State, error)
}

// compared returns the state of a unit, of which the system has a text, beside the units that
// the configuration needs. It is "" if there is nothing to say of it.
func compared(units []Unit, name, text, state string) string {
	i := slices.IndexFunc(units, func(u Unit) bool { return u.Name == name })
	switch {
	case i < 0 && (state == "missing" || state == "foreign"):
		return ""
	case i < 0:
		return "unneeded"
	case state == "installed" && text != units[i].Text:
		return "outdated"
	}
	return state
}

// Errors of Install and Remove. Nothing was changed.
var (
	ErrForeign = errors.New("not written by aspupdate service install")
	ErrChanged = errors.New("changed by hand")
	ErrRunning = errors.New("an update is running")
)
