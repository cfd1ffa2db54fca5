package schedule

import (
	"fmt"
	"strings"
	"time"
)

// Case is what an update is planned for (R11).
type Case uint8

// The cases of R11.
const (
	Worst   Case = iota // restructuring takes 2 h
	Typical             // restructuring takes 15 min
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
	Restructuring time.Duration // zero means R11's: 2 h, or 15 min if Case is Typical
	Checks        time.Duration // until the application is known to be healthy; required
	Rollback      time.Duration // if the last check fails (R15); required
	Case          Case

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

func (e *Estimate) total() (time.Duration, error) {
	backup, install, restructuring := e.Backup, e.Install, e.Restructuring
	if e.BackupDone {
		backup = 0
	}
	if install == 0 {
		install = usualInstall
	}
	if restructuring == 0 {
		restructuring = worstRestructuring
		if e.Case == Typical {
			restructuring = typicalRestructuring
		}
	}
	if (backup > 0 || e.BackupDone) && install > 0 && restructuring > 0 && e.Checks > 0 && e.Rollback > 0 && !e.FirstOfYear &&
		max(backup, install, restructuring, e.Checks, e.Rollback) <= longest {
		return backup + install + restructuring + e.Checks + e.Rollback, nil
	}
	return e.oddTotal(backup, install, restructuring)
}

// oddTotal is total for an estimate with something unusual or invalid.
func (e *Estimate) oddTotal(backup, install, restructuring time.Duration) (time.Duration, error) {
	var missing, odd []string
	sum := time.Duration(0)
	add := func(name string, d time.Duration, required bool) {
		switch {
		case d == 0 && required:
			missing = append(missing, name)
		case d < 0 || d > longest:
			odd = append(odd, fmt.Sprintf("%s of %v", name, d))
		default:
			sum += d
		}
	}
	add("backup", backup, !e.BackupDone)
	add("install", install, true)
	add("restructuring", restructuring, true)
	add("checks", e.Checks, true)
	add("rollback", e.Rollback, true)
	if e.FirstOfYear {
		add("first-of-year extra", e.FirstOfYearExtra, false)
	}
	switch {
	case len(missing) > 0:
		return 0, fmt.Errorf("%w; add the time for %s, as measured or from earlier runs", ErrIncomplete, strings.Join(missing, " and "))
	case len(odd) > 0:
		return 0, fmt.Errorf("%w: invalid %s", ErrIncomplete, strings.Join(odd, " and "))
	}
	return sum, nil
}
