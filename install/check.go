package install

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A Check is a requirement that must be met before an installer runs. Some are
// ready-made; any other is a name and a function.
type Check struct {
	Name string // for people, such as "free space"
	// Run returns nil if the requirement is met. Otherwise the error says what
	// is wrong and what to do about it. It also fails if it cannot determine that.
	Run func(ctx context.Context) error
	// Waived is why the requirement need not be met. The check then runs, a
	// failure is reported, and does not block.
	Waived string
}

// A Checklist is the requirements of an update, such as the additional ones of
// the first version of a year (R14). Run it when the update is planned, and
// again just before the installer.
type Checklist []Check

// A Failure is a check that failed.
type Failure struct {
	Name   string
	Err    error  // what is wrong, and what to do
	Waived string // why it does not block; "" if it does
}

func (f Failure) String() string {
	text := fmt.Sprintf("%s: %v", f.Name, f.Err)
	if f.Waived != "" {
		text += fmt.Sprintf(" (waived: %s)", f.Waived)
	}
	return text
}

// Unmet is the error of a checklist: the failures that block. It wraps the
// errors of their checks.
type Unmet struct{ Failures []Failure }

func (u *Unmet) Error() string {
	var texts []string
	for _, f := range u.Failures {
		texts = append(texts, f.String())
	}
	return "requirements are not met: " + strings.Join(texts, "; ")
}

// Unwrap returns each check's error.
func (u *Unmet) Unwrap() []error {
	var errs []error
	for _, f := range u.Failures {
		errs = append(errs, f.Err)
	}
	return errs
}

// Run runs all checks, in order, so that a person learns at once of everything
// that is to be done. It returns the failures that are waived, and an [*Unmet]
// if there are others.
func (l Checklist) Run(ctx context.Context) (waived []Failure, err error) {
	var failed []Failure
	for _, c := range l {
		err := context.Cause(ctx)
		switch {
		case c.Run == nil:
			err = errors.New("the check has no function; set Run")
		case err == nil:
			err = c.Run(ctx)
		}
		switch f := (Failure{c.Name, err, strings.TrimSpace(c.Waived)}); {
		case err == nil:
		case f.Waived != "":
			waived = append(waived, f)
		default:
			failed = append(failed, f)
		}
	}
	if len(failed) > 0 {
		return waived, &Unmet{failed}
	}
	return waived, nil
}

// NothingInstalled implements R3's check before a FullSetup, which brings a
// database of the vendor's example: it is met if p answers that nothing is
// installed, with an empty version and no error. An error of p blocks as well.
// To put FullSetup over an installation, waive the check and say why.
func NothingInstalled(p Probe) Check {
	return Check{Name: "R3, a first installation", Run: func(ctx context.Context) error {
		version, err := query(ctx, p, queryTimeout)
		if err != nil {
			return fmt.Errorf("cannot find out whether anything is installed: %w", err)
		}
		if version != "" {
			return fmt.Errorf("version %s is installed, and FullSetup would replace its database by the vendor's example; use Setup", version)
		}
		return nil
	}}
}

// FreeSpace is met if the volume of path, which need not exist yet, has that
// many bytes free.
func FreeSpace(path string, bytes int64) Check {
	return Check{Name: "free space", Run: func(context.Context) error {
		v, err := durable.VolumeOf(path)
		if err != nil {
			return fmt.Errorf("cannot find out the free space of %s: %w", path, err)
		}
		if v.Free < bytes {
			return fmt.Errorf("the volume of %s has %d MB free and %d MB are needed; free some space", path, v.Free/1e6, (bytes+1e6-1)/1e6)
		}
		return nil
	}}
}

// NoRebootPending is met if the machine does not wait for a restart: an
// installer may fail because of one, or end with an incomplete version. On
// Linux it is the mark that Debian and its derivatives leave in /run.
func NoRebootPending() Check {
	return Check{Name: "no restart pending", Run: func(context.Context) error {
		reasons, err := rebootPending()
		switch {
		case err != nil:
			return fmt.Errorf("cannot find out whether a restart is pending: %w", err)
		case len(reasons) > 0:
			return fmt.Errorf("the machine already waits for a restart (%s); restart it first", strings.Join(reasons, ", "))
		}
		return nil
	}}
}
