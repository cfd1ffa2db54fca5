package rollback

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrBusy is wrapped by the error of whoever finds the lock taken; see
	// [BusyError] for the holder.
	ErrBusy = errors.New("another update is at work")
	// ErrRefused is wrapped by every [Refusal]: a guard said no, and nothing
	// was changed.
	ErrRefused = errors.New("refused")
	// ErrNeedsOperator is wrapped when neither forward nor back was
	// possible. Everything that either way needs is still there, and all but
	// looking and recovering is blocked until a person decides.
	ErrNeedsOperator = errors.New("a person must decide")
	// ErrPending is wrapped by the [Refusal] of what must wait until an update
	// that was cut short has been recovered.
	ErrPending = errors.New("is pending")
	// ErrDamaged is wrapped when the journal cannot be trusted. It is left
	// as it is, and updates are blocked.
	ErrDamaged = errors.New("journal damaged")
)

// A Reason tells what a [Refusal] is about.
type Reason string

// The reasons for refusing.
const (
	ReasonSetup       Reason = "setup"          // the Update lacks a role or names something twice
	ReasonFolders     Reason = "folders"        // archive, backups or state lie inside a live folder
	ReasonNothingToDo Reason = "nothing-to-do"  // every part has its version already
	ReasonInstalled   Reason = "installed"      // the machine does not run what From says
	ReasonPrevious    Reason = "previous-setup" // R10: the previous version's Setup is not in the archive
	ReasonInstaller   Reason = "installer"      // the new version's installer is not in the archive
	ReasonBackup      Reason = "backup"         // R9: the snapshot did not verify just before the installer
	ReasonQuarantined Reason = "quarantined"    // this release was rolled back here before
	ReasonWindow      Reason = "window"         // R13: outside the support's hours
	ReasonSpace       Reason = "space"          // not enough room on a volume
	ReasonPlanChanged Reason = "plan-changed"   // what the plan showed is no longer so
	ReasonState       Reason = "state"          // lock or journal are no longer ours
)

// A Refusal is a guard that said no. It wraps [ErrRefused].
type Refusal struct {
	Reason Reason
	Part   string // the part or dataset it is about, if one
	Err    error  // what is so, and what to do
	// Release is the one that is quarantined, zero for every other reason.
	Release Release
}

func (r *Refusal) Error() string {
	if r.Part != "" {
		return fmt.Sprintf("%s: %v", r.Part, r.Err)
	}
	return r.Err.Error()
}

// Unwrap returns ErrRefused and the cause.
func (r *Refusal) Unwrap() []error { return []error{ErrRefused, r.Err} }

func refuse(reason Reason, part, format string, args ...any) error {
	return &Refusal{Reason: reason, Part: part, Err: fmt.Errorf(format, args...)}
}

// An Outcome is the state that an update ended in.
type Outcome string

// The outcomes. The first four leave nothing to do but to read; the last
// three leave the update pending and the fence closed.
const (
	Nothing        Outcome = "nothing"         // nothing was begun, or nothing was pending
	Committed      Outcome = "committed"       // new version, new data
	RolledBack     Outcome = "rolled-back"     // old version, old data; the new release is quarantined
	Abandoned      Outcome = "abandoned"       // stopped before the first damage: old version, old data
	AwaitingReboot Outcome = "awaiting-reboot" // fenced; goes on with Recover after the machine's restart
	Interrupted    Outcome = "interrupted"     // fenced; Recover must be called again
	NeedsOperator  Outcome = "needs-operator"  // fenced; Retry or Accept by a person
)

// An Error is an update that did not end in a commit.
type Error struct {
	Outcome  Outcome // the state that things are in
	Update   string  // the update's id in the journal; "" if it was never begun
	Step     Step    // where it failed
	Part     string  // the part or dataset, if the step was about one
	Err      error   // why
	Rollback error   // why the rollback failed too, if it did
	// Unfenced says that users may be in although the outcome keeps them
	// out: the fence could not be closed.
	Unfenced bool
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", e.Step)
	if e.Part != "" {
		fmt.Fprintf(&b, " of %s", e.Part)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	if e.Rollback != nil {
		fmt.Fprintf(&b, "; the rollback failed: %v", e.Rollback)
	}
	if s := e.Outcome.sentence(); s != "" {
		if e.Unfenced {
			s = strings.Replace(s, "users are kept out", "users may be in, keep them out by hand", 1)
		}
		fmt.Fprintf(&b, "; %s", s)
	}
	return b.String()
}

// Unwrap returns both causes, and ErrNeedsOperator where that is the state.
func (e *Error) Unwrap() []error {
	errs := []error{e.Err}
	if e.Rollback != nil {
		errs = append(errs, e.Rollback)
	}
	if e.Outcome == NeedsOperator {
		errs = append(errs, ErrNeedsOperator)
	}
	return errs
}

// sentence says in plain words what state an outcome stands for.
func (o Outcome) sentence() string {
	switch o {
	case RolledBack:
		return "rolled back: the version and the data from before are in place, users are let in again"
	case Abandoned:
		return "stopped before anything was changed, users are let in again"
	case AwaitingReboot:
		return "users are kept out until the machine has restarted and the update has gone on"
	case Interrupted:
		return "users are kept out, every backup and installer is kept; recover to go on"
	case NeedsOperator:
		return "a person must decide: users are kept out, every backup and installer is kept; mend the cause and retry, or put things right by hand and accept"
	}
	return ""
}
