package install

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A Check is one thing that must be so before an installer runs. There are
// ready-made ones; any other is a name and a function.
type Check struct {
	Name string // as people know it, "free space"
	// Look returns nil if it is so. Otherwise the error says what is wrong
	// and what to do about it; that it cannot be told is wrong, too. It heeds
	// ctx.
	Look func(ctx context.Context) error
	// Waived is why it need not be so. It is then looked at all the same, and
	// told, and does not block.
	Waived string
}

// A Checklist is what must be so before an update, such as the additional
// requirements of the first version of a year (R14). Look at it when the update
// is planned, and once more just before: as the Checks of a [Command].
type Checklist []Check

// A Failure is a check that did not hold.
type Failure struct {
	Name   string
	Err    error  // what is wrong, and what to do
	Waived string // why it does not block; empty if it does
}

func (f Failure) String() string {
	if f.Waived != "" {
		return fmt.Sprintf("%s: %v (waived: %s)", f.Name, f.Err, f.Waived)
	}
	return fmt.Sprintf("%s: %v", f.Name, f.Err)
}

// Unmet is the error of a checklist: what blocks. It wraps what the checks
// said.
type Unmet struct{ Failures []Failure }

func (u *Unmet) Error() string {
	texts := make([]string, len(u.Failures))
	for i, f := range u.Failures {
		texts[i] = f.String()
	}
	return "not everything is as it must be: " + strings.Join(texts, "; ")
}

// Unwrap returns each check's error.
func (u *Unmet) Unwrap() []error {
	var errs []error
	for _, f := range u.Failures {
		errs = append(errs, f.Err)
	}
	return errs
}

// Look looks at everything, in order, so that a person learns all at once what
// is to be done. It returns what was waived and does not hold, and an
// [*Unmet] if anything else does not.
func (l Checklist) Look(ctx context.Context) (waived []Failure, err error) {
	var failed []Failure
	for _, c := range l {
		err := context.Cause(ctx)
		switch {
		case c.Look == nil:
			err = errors.New("the check has nothing to look at; set Look")
		case err == nil:
			err = c.Look(ctx)
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

// NothingInstalled is R3's check before a FullSetup, which brings a database
// of the vendor's example: it holds if p answers that nothing is installed, by
// an empty version and no error. A p that cannot tell blocks as well. Who is
// to put FullSetup over an installation waives it, and says why.
func NothingInstalled(p Probe) Check {
	return Check{Name: "R3, a first installation", Look: func(ctx context.Context) error {
		version, err := look(ctx, p, lookTimeout)
		if err != nil {
			return fmt.Errorf("whether anything is installed cannot be told: %w", err)
		}
		if version != "" {
			return fmt.Errorf("version %s is installed, and FullSetup would put the vendor's example in the place of its database; take Setup", version)
		}
		return nil
	}}
}

// FreeSpace holds if the volume of path, which need not exist yet, has so many
// bytes free.
func FreeSpace(path string, bytes int64) Check {
	return Check{Name: "free space", Look: func(context.Context) error {
		v, err := durable.VolumeOf(path)
		if err != nil {
			return fmt.Errorf("look at the volume of %s: %w", path, err)
		}
		if v.Free < bytes {
			return fmt.Errorf("the volume of %s has %d MB free and %d MB are needed; make room", path, v.Free>>20, (bytes+1<<20-1)>>20)
		}
		return nil
	}}
}

// NoRebootPending holds if the machine does not wait for a restart: an
// installer may fail for that, or end with a version that is not whole. On
// Linux it is what Debian and its kin leave in /run.
func NoRebootPending() Check {
	return Check{Name: "no restart pending", Look: func(context.Context) error {
		reasons, err := rebootPending()
		switch {
		case err != nil:
			return fmt.Errorf("whether a restart is pending cannot be told: %w", err)
		case len(reasons) > 0:
			return fmt.Errorf("the machine waits for a restart already (%s); restart it first", strings.Join(reasons, ", "))
		}
		return nil
	}}
}

// lookTimeout bounds one look at an application.
const lookTimeout = 30 * time.Second
