package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/examples/aspupdate/internal/lang"
	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/archive"
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
	exitDirectories
	exitReboot
	exitUnvouched
	exitPrevious
	exitAbandoned
	exitInterrupted
	exitJournal
	exitClosed
	exitStale
	exitNewer
)

// fixAndCheck is the next step where the message names what to fix.
const fixAndCheck = "fix what the message names, then aspupdate doctor"

// exitTable holds the meaning of each code, for --help and the README, and its
// next step, where it is the same for every error with that code. What a person
// has to do by other means comes first. A command ends at a comma, a semicolon
// or a parenthesis, which explains; alternatives are separated by a semicolon.
// Words in capitals are filled in. A test types every line that is printed.
var exitTable = []struct{ meaning, next string }{
	exitDone: {meaning: "done"},
	exitOther: {
		"failed; the message says why, aspupdate status shows the state",
		fixAndCheck,
	},
	exitUsage: {
		"invalid command line or configuration; nothing was changed",
		"correct it (aspupdate doctor --init --config NEW writes a commented configuration to compare with), then aspupdate doctor",
	},
	exitNothing: {meaning: "nothing to do"},
	exitRefused: {
		"refused by the regulation, a quarantine or a changed plan; nothing was changed",
		"",
	},
	exitRolledBack: {
		"failed and rolled back: the version and the data from before are in place",
		"read the installer's log in the state directory and call support; aspupdate status (shows what is quarantined until aspupdate lift; a newer release needs no lift)",
	},
	exitOperator: {
		"a person must decide; users are kept out, every backup is kept",
		"fix the cause, then aspupdate recover --retry REASON; or repair the installation by hand, then aspupdate recover --accept REASON",
	},
	exitBusy:        {"another update is running", "wait for it to end, then aspupdate status"},
	exitServer:      {"the server cannot be reached; nothing was changed", fixAndCheck},
	exitCredentials: {"the server rejected the user name or the password; nothing was changed", fixAndCheck},
	exitUnknown:     {"the server has no such distribution or release; nothing was changed", fixAndCheck},
	exitIncomplete:  {"joint release incomplete (R4); nothing was changed", "wait for the vendor, then aspupdate check"},
	exitSpace:       {"not enough disk space; nothing was changed", fixAndCheck},
	exitDirectories: {"archive, backups or state is inside a directory that an update replaces; nothing was changed", fixAndCheck},
	exitReboot:      {"the machine must restart; users are kept out until aspupdate recover has run after that", "restart the machine, then aspupdate recover"},
	exitUnvouched: {
		"a file is not the one that was vouched for, or is not vouched for at all; nothing was changed",
		"do not run the file; ask the vendor for its hash, then aspupdate fetch; or for the right file, then aspupdate archive import --distribution NAME --version VERSION FILE",
	},
	exitPrevious: {
		"the previous version's Setup is not in the archive, or cannot be run (R10); nothing was changed",
		"ask support for that Setup, then aspupdate archive import --distribution NAME --version VERSION FILE",
	},
	exitAbandoned: {
		"stopped before an installer was started: version and data are unchanged, users are let in; an interrupted fetch or prune continues when it is run again",
		fixAndCheck,
	},
	exitInterrupted: {"interrupted; users are kept out, every backup is kept; run aspupdate recover", "aspupdate recover"},
	exitJournal: {
		"the journal is damaged; updates are blocked, and the journal is left unchanged",
		"keep a copy of the state directory, find out what wrote to it, move it away, put the installation in order by hand (OPERATIONS.md says how), then aspupdate adopt --reason WHY, then aspupdate open --reason WHY",
	},
	exitStale: {
		"the state directory is an old copy of itself; nothing was changed",
		"put the newest copy of the state directory back, or if there is none, move this one aside (nothing is restored from it), put the installation in order by hand (OPERATIONS.md says how), then aspupdate adopt --reason WHY, then aspupdate open --reason WHY",
	},
	exitNewer:  {"a newer program wrote the journal; nothing was changed", "install the program that wrote it, or a newer one, then aspupdate status"},
	exitClosed: {"users are kept out although no update is pending", "aspupdate open --reason WHY"},
}

// state returns the state that things are in after an error. Where an update has
// an outcome, that says whether users are in.
func state(err error) string {
	if e, ok := errors.AsType[*rollback.Error](err); ok && e.Outcome != "" {
		return e.State()
	}
	if _, ok := errors.AsType[refused](err); ok {
		return "refused, and nothing was changed: users are kept out as before, until a person decides"
	}
	return exitTable[exitCode(err)].meaning
}

// cause returns the text of an error without the state and the general next step
// of an update, which are printed on lines of their own.
func cause(err error) string {
	text := err.Error()
	if e, ok := errors.AsType[*rollback.Error](err); ok && e.Outcome != "" {
		bare := *e
		bare.Outcome = ""
		if full := e.Error(); strings.Contains(full, "; "+e.State()) {
			text = strings.Replace(text, full, bare.Error(), 1)
		}
	}
	return text
}

// errUsage is wrapped by every error about the command line.
var errUsage = errors.New("usage")

// usage returns an error about the command line.
func usage(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errUsage}, args...)...)
}

// errStopped is wrapped by the error of a command that Ctrl-C or a service
// manager ended before it changed the installation.
var errStopped = errors.New("stopped")

// exitHelp returns the table of exit codes for --help.
func exitHelp(speak *lang.Language) string {
	var b strings.Builder
	b.WriteString(speak.Text("Exit codes") + ":\n")
	for code, exit := range exitTable {
		fmt.Fprintf(&b, "   %2d  %s\n", code, speak.Text(exit.meaning))
	}
	return b.String()
}

// exitCode returns the exit code for an error. The state that the machine is
// in counts before the cause of the error.
func exitCode(err error) int {
	if _, ok := err.(cli.ExitCoder); ok { //nolint:errorlint // the command line's own, never wrapped: a wrapped one is the exit of a child process
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
	if r, ok := errors.AsType[*rollback.Error](err); ok { // before what such an error wraps
		if code := map[rollback.Reason]int{rollback.ReasonStale: exitStale, rollback.ReasonNewer: exitNewer}[r.Reason]; code != 0 {
			return code
		}
	}
	for _, c := range []struct {
		err  error
		code int
	}{
		{errUsage, exitUsage},
		{site.ErrConfig, exitUsage},
		{site.ErrClosed, exitClosed},
		{site.ErrSeveral, exitOperator},
		{errStopped, exitAbandoned},
		{site.ErrNothing, exitNothing},
		{site.ErrPrevious, exitPrevious},
		{site.ErrNotVouched, exitUnvouched},
		{site.ErrUntested, exitRefused},
		{rollback.ErrBusy, exitBusy},
		{rollback.ErrDamaged, exitJournal},
		{rollback.ErrNeedsOperator, exitOperator},
		{install.ErrPermission, exitRefused},
		{archive.ErrMismatch, exitUnvouched},
		{fetch.ErrCredentials, exitCredentials},
		{fetch.ErrUnknownDistribution, exitUnknown},
		{fetch.ErrNoRelease, exitUnknown},
		{fetch.ErrIncomplete, exitIncomplete},
		{archive.ErrNoSpace, exitSpace},
		{backup.ErrNoSpace, exitSpace},
		{fetch.ErrUnreachable, exitServer},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	if r, ok := errors.AsType[*rollback.Error](err); ok && r.Reason != "" {
		return cmp.Or(map[rollback.Reason]int{
			rollback.ReasonNothingToDo: exitNothing, rollback.ReasonSpace: exitSpace,
			rollback.ReasonDirectories: exitDirectories, rollback.ReasonPrevious: exitPrevious,
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
