package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/examples/internal/copies"
	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
)

// hint returns the next step after an error, with each command as it can be
// typed, --config included; "" if there is none.
func hint(err error) string {
	var cmd *cli.Command
	if on, ok := errors.AsType[*commandError](err); ok {
		cmd = on.cmd
	}
	_, broken := errors.AsType[unhealthy](err)
	_, running := errors.AsType[unsettled](err)
	if f, ok := errors.AsType[findings](err); ok {
		err = f.gravest()
	}
	code := exitCode(err)
	if broken && code == exitClosed {
		return ofSite(cmd, "put the application in order by hand unless it is only stopped (OPERATIONS.md says how), then aspupdate open --reason WHY (starts it, and lets users in)")
	}
	switch { // a step that is the same whatever the cause
	case errors.Is(err, errUsage) && cmd != nil:
		return cmd.FullName() + " --help"
	case code == exitUsage && !errors.Is(err, site.ErrConfig):
		return "aspupdate --help"
	case code == exitUsage:
		return exitTable[code].next
	case (code == exitJournal || code == exitStale) && cmd != nil && (cmd.Name != "recover" || running || cmd.String("retry")+cmd.String("accept") != ""):
		return ofSite(cmd, "aspupdate recover (waits until what an update has left running has ended, changes nothing, and says what is next)")
	case code == exitInterrupted && errors.Is(err, site.ErrConfig):
		return ofSite(cmd, "correct the configuration as the message says, then aspupdate recover")
	case code == exitInterrupted && diskFull(err):
		return ofSite(cmd, "free space on the disk that the message names, then aspupdate recover")
	case code == exitInterrupted && ofFence(err):
		return ofSite(cmd, "correct the command that the message names, or give application.fence_status (what is closed already is then not closed again), then aspupdate recover; "+
			"or put the installation in order by hand, then aspupdate recover --accept REASON")
	case code == exitPrevious && cmd != nil && cmd.Name == "recover" && cmd.String("accept") != "":
		return ofSite(cmd, "ask support for that Setup, then aspupdate recover --accept REASON --setup FILE (NAME=FILE in a bundle)")
	case code == exitPrevious && cmd != nil && cmd.Name == "adopt":
		return ofSite(cmd, "ask support for that Setup, then aspupdate adopt --reason WHY --setup FILE (NAME=FILE in a bundle)")
	case code == exitPrevious && !errors.Is(err, archive.ErrNotFound) && !errors.Is(err, site.ErrPrevious):
		return ofSite(cmd, fixAndCheck) // it is there
	case code == exitAbandoned && (errors.Is(err, errStopped) || errors.Is(err, context.Canceled)):
		return "run it again later: aspupdate " + typed(os.Args[1:])
	case errors.Is(err, rollback.ErrPending) && code == exitRefused:
		return ofSite(cmd, "aspupdate recover")
	}
	if r, ok := errors.AsType[*rollback.Error](err); ok && r.Reason != "" && code == exitRefused {
		return refusalHint(r, cmd)
	}
	if r, ok := errors.AsType[*rollback.Error](err); ok && len(r.Unkept)+len(r.Differing) > 0 {
		return decisionHint(r, cmd)
	}
	if next := applicationHint(err, code); next != "" {
		return ofSite(cmd, next)
	}
	switch {
	case code == exitOperator && errors.Is(err, backup.ErrMismatch):
		return ofSite(cmd, "check what the message names; if that is what the previous version's Setup writes, aspupdate recover --accept REASON; "+
			"or aspupdate recover --retry REASON (restores it once more and runs that Setup again)")
	case errors.Is(err, site.ErrSeveral):
		return ofSite(cmd, "aspupdate recover --accept REASON --installed VERSION@SHA256")
	case errors.Is(err, backup.ErrNotFound) && cmd != nil && cmd.Name == "prove":
		return ofSite(cmd, "aspupdate doctor --rehearse (takes a snapshot and proves it, in a quiet hour)")
	case errors.Is(err, site.ErrUntested):
		return ofSite(cmd, "aspupdate prove (runs the self-test on a database of its own, while users work)")
	case errors.Is(err, copies.ErrKey):
		return "find the right key, then aspupdate copies restore --from DIRECTORY --identity FILE --signer KEY --into NEW"
	case errors.Is(err, copies.ErrPlace):
		return ofSite(cmd, "mount the disk or share, or free space on it, then aspupdate copies run")
	case errors.Is(err, copies.ErrDamaged) && cmd != nil && cmd.Name == "verify":
		return ofSite(cmd, "find out who or what changed the copies, remove the files that the message names, then aspupdate copies run")
	case errors.Is(err, backup.ErrDamaged) && code == exitOther:
		return ofSite(cmd, "put the snapshot back from a copy, or if no update is pending, move its directory away (no rollback goes to it, and the next update makes a new one), then aspupdate doctor")
	case errors.Is(err, site.ErrNotFetched):
		return ofSite(cmd, "aspupdate fetch")
	case errors.Is(err, schedule.ErrBeyondData):
		return ofSite(cmd, "set calendar.decrees in the configuration to a file with the later decrees, then aspupdate calendar")
	case errors.Is(err, install.ErrPermission):
		return ofSite(cmd, fixAndCheck)
	}
	return ofSite(cmd, exitTable[code].next)
}

// ofFence reports whether an update stays pending because a command that closes the fence again
// fails.
func ofFence(err error) bool {
	r, ok := errors.AsType[*rollback.Error](err)
	_, failed := errors.AsType[*exec.ExitError](err)
	return ok && r.Op == "fence" && failed && !errors.Is(err, context.Canceled)
}

// applicationHint returns the next step where the application could not be stopped or
// started, which is perhaps so already; "" where that is not why the update ends so.
func applicationHint(err error, code int) string {
	if r, ok := errors.AsType[*rollback.Error](err); ok && code == exitOperator {
		err = errors.Join(r.Unwrap()[1:]...) // why the rollback failed
	}
	failed, ok := errors.AsType[*site.CommandError](err)
	switch {
	case !ok:
		return ""
	case code == exitOperator && failed.Status:
		return "correct the command that the message names, then aspupdate recover --retry REASON; or repair the installation by hand, then aspupdate recover --accept REASON"
	case code == exitOperator:
		return "correct the command that the message names, or give application.status (what is stopped already is then not stopped again), then aspupdate recover --retry REASON; " +
			"or repair the installation by hand, then aspupdate recover --accept REASON"
	case code == exitInterrupted && failed.Status:
		return "correct the command that the message names, then aspupdate recover"
	case code == exitInterrupted:
		return "correct the command that the message names, or give application.status (what runs already is then not started again), then aspupdate recover"
	case code == exitAbandoned && failed.Status:
		return "correct the command that the message names, then aspupdate doctor --rehearse (in a quiet hour)"
	case code == exitAbandoned:
		return "correct the command that the message names, or give application.status (what is stopped already is then not stopped again), then aspupdate doctor --rehearse (in a quiet hour)"
	}
	return ""
}

// diskFull reports whether a file could not be written because its disk is full.
func diskFull(err error) bool {
	const handleDiskFull, diskFull = syscall.Errno(39), syscall.Errno(112) // of Windows
	return errors.Is(err, syscall.ENOSPC) || runtime.GOOS == "windows" && (errors.Is(err, handleDiskFull) || errors.Is(err, diskFull))
}

// refusalHint returns the next step after a refusal without an exit code of
// its own.
func refusalHint(r *rollback.Error, cmd *cli.Command) string {
	name := "update"
	if cmd != nil {
		name = cmd.Name
	}
	switch r.Reason {
	case rollback.ReasonQuarantined:
		return ofSite(cmd, "aspupdate lift", " --distribution "+quote(r.Subject)+" --reason WHY "+quote(string(r.Release.Version))+"; or wait for another release (a newer one, or another file)")
	case rollback.ReasonPlanChanged:
		return planAgain(cmd, name)
	case rollback.ReasonWindow:
		when := "aspupdate plan (shows when an update may start); or "
		if name != "update" {
			when = ""
		}
		return ofSite(cmd, when+"aspupdate "+name, " --override R13 --reason WHY (ignores the support hours)")
	case rollback.ReasonInstalled:
		switch {
		case name == "recover":
			return ofSite(cmd, exitTable[exitOperator].next)
		case cmd != nil && cmd.Bool("first-installation"):
			return "run it without --first-installation: aspupdate " + name + configOf(cmd)
		}
		return ofSite(cmd, "aspupdate adopt", " --reason WHY (if that version was installed by other means); or fix what the message names")
	case rollback.ReasonUnproven:
		return ofSite(cmd, "aspupdate prove (if backups list shows a snapshot); or aspupdate doctor --rehearse (takes a snapshot and proves it, in a quiet hour); or aspupdate "+name,
			" --override R9 --reason WHY (goes without a proof)")
	case rollback.ReasonBackup:
		return ofSite(cmd, "aspupdate backups verify")
	case rollback.ReasonInstaller, rollback.ReasonSetup:
		return ofSite(cmd, fixAndCheck)
	}
	if name == "status" { // it would be refused again
		return ofSite(cmd, fixAndCheck)
	}
	return ofSite(cmd, "aspupdate status")
}

// decisionHint returns the next step where a person may name data that blocks a retry.
func decisionHint(r *rollback.Error, cmd *cli.Command) string {
	var differing, unkept string
	for _, name := range slices.Sorted(maps.Keys(r.Differing)) {
		differing += " --differing " + quote(name)
	}
	for _, name := range r.Unkept {
		unkept += " --unkept " + quote(name)
	}
	text := ofSite(cmd, exitTable[exitOperator].next)
	if differing != "" {
		text += ofSite(cmd, "; or, if what was restored beside is good in spite of its differences, aspupdate recover",
			" --retry REASON"+differing+unkept+" (puts it in place)")
	}
	if unkept != "" {
		text += ofSite(cmd, "; or, if the data that cannot be kept cannot be repaired, aspupdate recover",
			" --retry REASON"+unkept+" (restores it all the same; what that replaces stays beside it until the next update)")
	}
	return text
}

// planAgain returns the command that shows the plan as it is now.
func planAgain(cmd *cli.Command, name string) string {
	switch {
	case cmd == nil:
		return "aspupdate plan"
	case name == "rollback" && cmd.String("override") == "":
		return ofSite(cmd, "aspupdate rollback") // --reason without --confirm is an error
	case name == "rollback":
		return again(cmd, name)
	}
	return again(cmd, "plan")
}

// ourCommand matches a command of this program in a text.
var ourCommand = regexp.MustCompile(`\baspupdate ((archive|backups|copies) )?[a-z]+`)

// ofSite adds the --config that was given to each command in a text. What
// follows the text may quote a user's words, and is left unchanged.
func ofSite(cmd *cli.Command, text string, more ...string) string {
	if config := configOf(cmd); config != "" {
		text = ourCommand.ReplaceAllStringFunc(text, func(ours string) string { return ours + config })
	}
	return text + strings.Join(more, "")
}

// configOf returns the --config that was given, after a space.
func configOf(cmd *cli.Command) string {
	if cmd == nil {
		return ""
	}
	return after(" ", strings.Join(flags(cmd, "config"), " "))
}

// A commandError is the error of a command with its command line.
type commandError struct {
	error
	cmd *cli.Command
}

func (e *commandError) Unwrap() error { return e.error }

func configured(cmd *cli.Command, err error) error {
	if err == nil {
		return nil
	}
	return &commandError{err, cmd}
}

// typed returns words as they are typed in a shell.
func typed(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

// quote quotes a word so that the shell of this system reads it literally.
func quote(word string) string { return quoteFor(runtime.GOOS, word) }

// plain matches a word that needs no quotes in any shell.
var plain = regexp.MustCompile(`^[\pL\pN_+=:./-]+$`)

func quoteFor(system, word string) string {
	switch {
	case system == "windows" && plain.MatchString(strings.ReplaceAll(word, `\`, "/")),
		system != "windows" && plain.MatchString(word):
		return word
	case system != "windows":
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	// Windows programs split their command line themselves: a backslash
	// escapes only before a quote.
	var b strings.Builder
	slashes := 0
	for _, r := range word {
		if r == '"' {
			b.WriteString(strings.Repeat(`\`, slashes+1))
		}
		if slashes++; r != '\\' {
			slashes = 0
		}
		b.WriteRune(r)
	}
	return `"` + b.String() + strings.Repeat(`\`, slashes) + `"`
}
