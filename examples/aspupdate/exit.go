package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
)

// The exit codes. Scripts depend on them; see exitTable.
const (
	exitDone = iota
	exitOther
	exitUsage
	exitNothing
	exitRefused
	exitRolledBack
	exitOperator
	exitBusy
	exitServer
	exitCredentials
	exitUnknown
	exitIncomplete
	exitSpace
	exitFolders
	exitReboot
	exitUnvouched
	exitPrevious
	exitAbandoned
	exitInterrupted
	exitJournal
)

// lookAgain is what to do where a message names what to mend.
const lookAgain = "mend what the message names; aspupdate doctor looks again"

// exitTable says what each code means, for --help and the README, and what to
// do next, for states that have a command of their own.
var exitTable = []struct{ meaning, next string }{
	exitDone: {meaning: "done"},
	exitOther: {
		"failed; the message says how, aspupdate status how things stand",
		"aspupdate doctor looks at all that an update needs",
	},
	exitUsage: {
		"wrong usage or configuration; nothing was changed",
		"correct it; aspupdate doctor --init --config NEW writes a commented configuration to compare",
	},
	exitNothing: {meaning: "nothing to do"},
	exitRefused: {
		"refused: the regulation, a quarantine, or a plan that no longer holds; nothing was changed",
		"",
	},
	exitRolledBack: {
		"failed and rolled back: the version and the data from before are in place",
		"read the installer's log in the state folder and call the support; aspupdate status says what is quarantined, aspupdate lift lets it in again; another release needs nothing",
	},
	exitOperator: {
		"a person must decide; users are kept out, every backup is kept",
		"mend the cause, then aspupdate recover --retry REASON; or put things right by hand, then aspupdate recover --accept REASON",
	},
	exitBusy:        {"another update is at work", "aspupdate status says how things stand"},
	exitServer:      {"the server cannot be reached; nothing was changed", lookAgain},
	exitCredentials: {"the server refused user or password; nothing was changed", lookAgain},
	exitUnknown:     {"the server has no such distribution or release; nothing was changed", lookAgain},
	exitIncomplete:  {"joint release incomplete (R4); nothing was changed", "wait for the vendor; aspupdate check says what is there"},
	exitSpace:       {"not enough room on a disk; nothing was changed", lookAgain},
	exitFolders:     {"archive, backups or state lie inside a folder that an update replaces; nothing was changed", lookAgain},
	exitReboot:      {"users are kept out until the machine has restarted; then recover", "aspupdate recover"},
	exitUnvouched: {
		"a file is not the one that was vouched for, or nobody vouches for it; nothing was changed",
		"do not use the file; ask the vendor for its hash, or for the file, and aspupdate fetch or archive import it",
	},
	exitPrevious: {
		"the previous version's Setup is not in the archive (R10); nothing was changed",
		"ask the support for that Setup, then aspupdate archive import --distribution NAME --version VERSION FILE",
	},
	exitAbandoned: {
		"stopped before an installer was started: version and data are as they were, users are in; a fetch or a prune that was cut short goes on when it is called again",
		lookAgain,
	},
	exitInterrupted: {"cut short; users are kept out, every backup is kept; recover", "aspupdate recover"},
	exitJournal: {
		"the journal is damaged; updates are blocked and it is kept as it is",
		"keep the state folder as it is, find out what wrote to it, and bring it back from a copy or ask who can read it",
	},
}

// errUsage is wrapped by every complaint about the command line.
var errUsage = errors.New("usage")

// usage is a mistake on the command line.
func usage(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errUsage}, args...)...)
}

// errStopped is wrapped by what a person's Ctrl-C ended, outside an update.
var errStopped = errors.New("stopped")

// exitHelp is the table for --help.
func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for code, exit := range exitTable {
		fmt.Fprintf(&b, "   %2d  %s\n", code, exit.meaning)
	}
	return b.String()
}

// exitCode is the one switch from errors to exit codes. What state the
// machine is in comes before what went wrong.
func exitCode(err error) int {
	if _, ok := err.(cli.ExitCoder); ok { //nolint:errorlint // the library's own: no help on what is no command; one that is wrapped is a program's
		return exitUsage
	}
	if f, ok := errors.AsType[findings](err); ok {
		return exitCode(f.gravest())
	}
	if e, ok := errors.AsType[*rollback.Error](err); ok {
		if code := map[rollback.Outcome]int{
			rollback.RolledBack: exitRolledBack, rollback.NeedsOperator: exitOperator, rollback.Interrupted: exitInterrupted,
			rollback.AwaitingReboot: exitReboot, rollback.Abandoned: exitAbandoned,
		}[e.Outcome]; code != 0 {
			return code
		}
	}
	for _, c := range []struct {
		err  error
		code int
	}{
		{errUsage, exitUsage},
		{site.ErrConfig, exitUsage},
		{errStopped, exitAbandoned},
		{site.ErrNothing, exitNothing},
		{site.ErrPrevious, exitPrevious},
		{site.ErrNotVouched, exitUnvouched},
		{rollback.ErrBusy, exitBusy},
		{rollback.ErrDamaged, exitJournal},
		{rollback.ErrNeedsOperator, exitOperator},
		{install.ErrRights, exitRefused},
		{fetch.ErrMismatch, exitUnvouched},
		{fetch.ErrCredentials, exitCredentials},
		{fetch.ErrUnknownDistribution, exitUnknown},
		{fetch.ErrNothing, exitUnknown},
		{fetch.ErrIncomplete, exitIncomplete},
		{fetch.ErrNoSpace, exitSpace},
		{fetch.ErrUnreachable, exitServer},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	if r, ok := errors.AsType[*rollback.Refusal](err); ok {
		return cmp.Or(map[rollback.Reason]int{
			rollback.ReasonNothingToDo: exitNothing, rollback.ReasonSpace: exitSpace,
			rollback.ReasonFolders: exitFolders, rollback.ReasonPrevious: exitPrevious,
		}[r.Reason], exitRefused)
	}
	switch {
	case errors.Is(err, rollback.ErrRefused):
		return exitRefused
	case err != nil:
		return exitOther
	}
	return exitDone
}
