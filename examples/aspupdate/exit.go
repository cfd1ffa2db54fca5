package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/urfave/cli/v3"

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

// exitTable says what each code means, for --help and the README.
var exitTable = []string{ //nolint:gosec // the word "password" is no password
	exitDone:        "done",
	exitOther:       "failed; the message says how, aspupdate status how things stand",
	exitUsage:       "wrong usage or configuration; nothing was changed",
	exitNothing:     "nothing to do",
	exitRefused:     "refused: the regulation, a quarantine, or a plan that no longer holds; nothing was changed",
	exitRolledBack:  "failed and rolled back: the version and the data from before are in place",
	exitOperator:    "a person must decide; users are kept out, every backup is kept",
	exitBusy:        "another update is at work",
	exitServer:      "the server cannot be reached; nothing was changed",
	exitCredentials: "the server refused user or password; nothing was changed",
	exitUnknown:     "the server has no such distribution or release; nothing was changed",
	exitIncomplete:  "joint release incomplete (R4); nothing was changed",
	exitSpace:       "not enough room on a disk; nothing was changed",
	exitFolders:     "archive, backups or state lie inside a folder that an update replaces; nothing was changed",
	exitReboot:      "users are kept out until the machine has restarted; then recover",
	exitUnvouched:   "a file is not the one that was vouched for, or nobody vouches for it; nothing was changed",
	exitPrevious:    "the previous version's Setup is not in the archive (R10); nothing was changed",
	exitAbandoned:   "stopped before anything was changed; users are in",
	exitInterrupted: "cut short; users are kept out, every backup is kept; recover",
	exitJournal:     "the journal is damaged; updates are blocked and it is kept as it is",
}

// errStopped is wrapped by what a person's Ctrl-C ended, outside an update.
var errStopped = errors.New("stopped")

// exitHelp is the table for --help.
func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n")
	for code, text := range exitTable {
		fmt.Fprintf(&b, "   %2d  %s\n", code, text)
	}
	return b.String()
}

// hint says what to type next, exactly, also where the configuration was named.
func hint(err error) string {
	next := nextStep(err)
	if on, ok := errors.AsType[*configuredError](err); ok {
		next = ourCommand.ReplaceAllString(next, "${0} "+strings.ReplaceAll(on.flag, "$", "$$"))
	}
	return next
}

// ourCommand is one of our commands in a text.
var ourCommand = regexp.MustCompile(`\baspupdate (archive import|[a-z]+)`)

// An configuredError is an error of a command that was given --config.
type configuredError struct {
	error
	flag string
}

func (e *configuredError) Unwrap() error { return e.error }

func configured(cmd *cli.Command, err error) error {
	words := flags(cmd, "config")
	if err == nil || len(words) == 0 {
		return err
	}
	return &configuredError{err, strings.Join(words, " ")}
}

// nextStep is for states that have a command of their own.
func nextStep(err error) string {
	if errors.Is(err, errNotFetched) {
		return "next: aspupdate fetch"
	}
	switch exitCode(err) {
	case exitOperator:
		return "next: mend the cause, then aspupdate recover --retry REASON; or put things right by hand, then aspupdate recover --accept REASON"
	case exitInterrupted, exitReboot:
		return "next: aspupdate recover"
	case exitRolledBack:
		return "next: read the installer's log in the state folder and call the support; aspupdate status says what is quarantined, aspupdate lift lets it in again; another release needs nothing"
	case exitUsage:
		return "next: correct it, see aspupdate --help; aspupdate doctor --init --config NEW writes a commented configuration"
	case exitRefused:
		return "next: aspupdate status says how things stand, aspupdate plan when an update may start; --override R13 --reason WHY leaves the support's hours out"
	case exitBusy:
		return "next: aspupdate status says how things stand"
	case exitOther:
		return "next: aspupdate doctor looks at all that an update needs"
	case exitIncomplete:
		return "next: wait for the vendor; aspupdate check says what is there"
	case exitServer, exitCredentials, exitUnknown, exitSpace, exitFolders, exitAbandoned:
		return "next: mend what the message names; aspupdate doctor looks again"
	case exitJournal:
		return "next: keep the state folder as it is, find out what wrote to it, and bring it back from a copy or ask who can read it"
	case exitUnvouched:
		return "next: do not use the file; ask the vendor for its hash, or for the file, and aspupdate fetch or archive import it"
	case exitPrevious:
		return "next: ask the support for that Setup, then aspupdate archive import --distribution NAME --version VERSION FILE"
	}
	return ""
}

// exitCode is the one switch from errors to exit codes. What state the
// machine is in comes before what went wrong.
func exitCode(err error) int {
	if e, ok := errors.AsType[*rollback.Error](err); ok {
		switch e.Outcome {
		case rollback.RolledBack:
			return exitRolledBack
		case rollback.NeedsOperator:
			return exitOperator
		case rollback.Interrupted:
			return exitInterrupted
		case rollback.AwaitingReboot:
			return exitReboot
		case rollback.Abandoned:
			return exitAbandoned
		}
	}
	for _, c := range []struct {
		err  error
		code int
	}{
		{errConfig, exitUsage},
		{errStopped, exitAbandoned},
		{errNothing, exitNothing},
		{errPrevious, exitPrevious},
		{errNotVouched, exitUnvouched},
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
		switch r.Reason {
		case rollback.ReasonNothingToDo:
			return exitNothing
		case rollback.ReasonSpace:
			return exitSpace
		case rollback.ReasonFolders:
			return exitFolders
		case rollback.ReasonPrevious:
			return exitPrevious
		}
		return exitRefused
	}
	switch {
	case errors.Is(err, rollback.ErrRefused):
		return exitRefused
	case err != nil:
		return exitOther
	}
	return exitDone
}
