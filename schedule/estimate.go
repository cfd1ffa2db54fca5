package schedule

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// The parts of R11 that are the same for every site.
const (
	usualInstall         = 4 * time.Minute
	typicalRestructuring = 15 * time.Minute
	worstRestructuring   = 2 * time.Hour
)

// An Estimate has the duration of each part of an update. Backup, Checks and
// Rollback depend on the site, so they must be set, as measured or as taken from
// earlier runs: zero is an error.
type Estimate struct {
	Backup        time.Duration // R9; required
	Install       time.Duration // zero means R11's 4 min
	Restructuring time.Duration // zero means R11's: 2 h, or 15 min if Typical is set
	Checks        time.Duration // until the application is known to be healthy; required
	Rollback      time.Duration // if the last check fails (R15); required
	Typical       bool          // plan for R11's typical restructuring instead of the worst

	// BackupDone excludes Backup, for the check right before the installer starts.
	BackupDone bool

	// FirstOfYear says that the update crosses a year (R14), which takes longer,
	// by FirstOfYearExtra. See [Numbering.CrossesYear].
	FirstOfYear      bool
	FirstOfYearExtra time.Duration
}

// longest is the longest plausible duration of a part.
const longest = 1000 * time.Hour

// Total returns the time that an update needs from its start to the end of a
// rollback. The error wraps [ErrIncomplete] and has all parts that are missing.
func (e Estimate) Total() (time.Duration, error) { return e.total() }

func (e *Estimate) total() (sum time.Duration, err error) {
	times := [...]time.Duration{e.Backup, cmp.Or(e.Install, usualInstall), e.Restructuring, e.Checks, e.Rollback, 0}
	if e.BackupDone {
		times[0] = 0
	}
	if e.Restructuring == 0 {
		times[2] = worstRestructuring
		if e.Typical {
			times[2] = typicalRestructuring
		}
	}
	if e.FirstOfYear {
		times[5] = e.FirstOfYearExtra
	}
	var missing, odd []string
	for i, d := range times {
		switch {
		case d > 0 && d <= longest:
			sum += d
		case d != 0:
			odd = append(odd, fmt.Sprintf("%s of %v", parts[i], d))
		case i == 0 && !e.BackupDone || i > 0 && i < 5:
			missing = append(missing, parts[i])
		}
	}
	switch {
	case len(missing) > 0:
		return 0, fmt.Errorf("%w; add the time for %s, as measured or from earlier runs", ErrIncomplete, strings.Join(missing, " and "))
	case len(odd) > 0:
		return 0, fmt.Errorf("%w: invalid %s", ErrIncomplete, strings.Join(odd, " and "))
	}
	return sum, nil
}

// parts are the names of an estimate's parts; all but the last are required.
var parts = [...]string{"backup", "install", "restructuring", "checks", "rollback", "first-of-year extra"}
