package rollback

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

var (
	// ErrBusy is wrapped by a refusal if another process holds the lock.
	ErrBusy = errors.New("another update is running")
	// ErrRefused is wrapped by every [Error] with a Reason: a guard refused.
	ErrRefused = errors.New("refused")
	// ErrNeedsOperator is wrapped if neither forward nor back was possible.
	// Everything that either direction needs is still there, and all but
	// reading and recovering is blocked until a person decides.
	ErrNeedsOperator = errors.New("a person must decide")
	// ErrPending is wrapped by a refusal until an update that was cut short has
	// been recovered.
	ErrPending = errors.New("an update is pending")
	// ErrDamaged is wrapped if the journal cannot be trusted. It is left as it
	// is, and updates are blocked.
	ErrDamaged = errors.New("the journal is damaged")
)

// A Reason is which guard refused, for programs that branch on it.
type Reason string

// The reasons for refusing.
const (
	ReasonSetup       Reason = "setup"          // the Update lacks a role or a reason, or has a name twice
	ReasonDirectories Reason = "directories"    // archive, backups or state are inside a live directory
	ReasonNothingToDo Reason = "nothing-to-do"  // every part has its version already
	ReasonInstalled   Reason = "installed"      // the machine does not run what From says
	ReasonPrevious    Reason = "previous-setup" // R10: the previous version's Setup is not in the archive
	ReasonInstaller   Reason = "installer"      // the new version's installer is not in the archive
	ReasonBackup      Reason = "backup"         // R9: a snapshot did not verify just before the installer
	ReasonUnproven    Reason = "unproven"       // R9: a backup like the update's was never restored and compared
	ReasonQuarantined Reason = "quarantined"    // this release was rolled back here before
	ReasonWindow      Reason = "window"         // R13: outside the support's hours
	ReasonSpace       Reason = "space"          // not enough space on a volume
	ReasonPlanChanged Reason = "plan-changed"   // what the plan showed is no longer true
	ReasonState       Reason = "state"          // lock or journal do not allow it
	ReasonStale       Reason = "stale-state"    // the state directory is an older copy of itself
	ReasonNewer       Reason = "newer-journal"  // a newer program wrote the journal
)

// An Outcome is the state that an update ended in.
type Outcome string

// The outcomes. After the first four there is nothing left to do; the last
// three leave the update pending and the fence closed.
const (
	Nothing        Outcome = "nothing"         // nothing was begun, or nothing was pending
	Committed      Outcome = "committed"       // new version, new data
	RolledBack     Outcome = "rolled-back"     // old version, old data; the new release is quarantined
	Abandoned      Outcome = "abandoned"       // stopped before the first damage: old version, old data
	AwaitingReboot Outcome = "awaiting-reboot" // fenced; Recover goes on after the machine's restart
	Interrupted    Outcome = "interrupted"     // fenced; Recover must be called again
	NeedsOperator  Outcome = "needs-operator"  // fenced; a person calls Retry or Accept
)

// An Error is a guard that refused, an update that did not end in a commit, or
// a failure of lock or journal.
type Error struct {
	Op      string // the step that failed, such as "install", or "read" and the like; "" of a guard
	Subject string // the part, dataset or file it was about, "" if none
	Err     error  // the cause
	Next    string // what to do next, "" if there is nothing to do

	Reason  Reason  // which guard refused, "" if none
	Release Release // the one that is quarantined, zero for every other reason
	Outcome Outcome // the state that the machine is in, "" without an update
	Update  string  // the update's id in the journal, "" if it was not begun
	// Unfenced reports that users may be in although the outcome keeps them
	// out: the fence reports so, or could not be closed.
	Unfenced bool
	// Unkept are the datasets that may be newer than their snapshots and could
	// not be kept, so that they were not restored: see [Update.Retry].
	Unkept []string
	// Differing has, by dataset, where what was restored stays beside the live data
	// because it differs from the snapshot, and then each difference: see
	// [Update].Differing.
	Differing map[string][]string

	kept      []string // snapshots of what was live before a restore
	users     string   // whether users are in, in words; "" where that was not checked
	settled   Outcome  // how the update ends, if that is durable although it is interrupted
	rollback  error    // why the rollback failed too, nil if it did not
	reverting bool     // the outcome is that of an operator's rollback
}

func (e *Error) Error() string {
	text := fmt.Sprint(e.Err)
	if what := strings.TrimSpace(e.Op + " " + e.Subject); what != "" {
		text = what + ": " + text
	}
	if e.rollback != nil {
		text += "; the rollback failed: " + e.rollback.Error()
	}
	aside := ""
	if len(e.kept) > 0 {
		aside = "what was live before the restore is kept in the snapshot " + strings.Join(e.kept, ", ")
	}
	for _, more := range []string{e.State(), aside, cmp.Or(e.Next, endings[e.Outcome].next)} {
		if more != "" {
			text += "; " + more
		}
	}
	return text
}

// State returns in words the state that the machine is in, "" without an
// update. It says whether users are in as the fence does.
func (e *Error) State() string {
	users := cmp.Or(e.users, keptOut)
	if e.Unfenced && e.users == "" {
		users = "users may be in, keep them out by hand"
	}
	switch {
	case e.settled != "":
		return "the outcome is durable: " + string(e.settled) + "; " + users
	case e.reverting && e.Outcome == RolledBack:
		return "the rollback failed and was taken back: today's version and its data are in place, users are let in again"
	}
	return strings.Replace(endings[e.Outcome].state, keptOut, users, 1)
}

// Unwrap returns the causes, [ErrRefused] if a guard refused, and
// [ErrNeedsOperator] where that is the state.
func (e *Error) Unwrap() []error {
	errs := []error{e.Err}
	if e.rollback != nil {
		errs = append(errs, e.rollback)
	}
	if e.Reason != "" {
		errs = append(errs, ErrRefused)
	}
	if e.Outcome == NeedsOperator {
		errs = append(errs, ErrNeedsOperator)
	}
	return errs
}

func refuse(reason Reason, subject, format string, args ...any) *Error {
	return &Error{Reason: reason, Subject: subject, Err: fmt.Errorf(format, args...)}
}

// then sets what to do next.
func (e *Error) then(next string) *Error {
	e.Next = next
	return e
}

// without sets what to do next where a person must decide. Data that could not be
// kept blocks each retry until it is named.
func (e *Error) without(p *Pending) *Error {
	e.Next = endings[NeedsOperator].next
	if e.Unkept = slices.Sorted(maps.Keys(p.unkept)); len(e.Unkept) > 0 {
		e.Next += fmt.Sprintf("; or, if %s cannot be repaired, retry with that name: it is then restored without a snapshot of today, and what the restore replaces stays beside it",
			strings.Join(e.Unkept, ", "))
	}
	if len(p.differs) > 0 {
		e.Differing = maps.Clone(p.differs)
		e.Next += fmt.Sprintf("; or, if what was restored of %s is good in spite of its differences, retry with that name as differing: it is then put in place, and a snapshot of what is live is kept",
			strings.Join(slices.Sorted(maps.Keys(p.differs)), ", "))
	}
	return e
}

const keptOut = "users are kept out"

// endings has for each outcome other than a commit what it means, and what to
// do next.
var endings = map[Outcome]struct{ state, next string }{
	RolledBack:     {"rolled back: the previous version and its data are in place, users are let in again", ""},
	Abandoned:      {"stopped before anything was changed, users are let in again", ""},
	AwaitingReboot: {keptOut + " until the machine has restarted and the update has gone on", "restart the machine, then recover"},
	Interrupted:    {keptOut + ", every backup and installer is kept", "recover to go on"},
	NeedsOperator: {
		"a person must decide: " + keptOut + ", every backup and installer is kept",
		"repair the cause and retry, or put things right by hand and accept",
	},
}
