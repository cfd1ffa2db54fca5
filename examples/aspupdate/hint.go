package main

import (
	"context"
	"errors"
	"os"
	"regexp"
	"runtime"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/install"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
)

// hint says what to type next, exactly, also where the configuration was named;
// "" where nothing helps.
func hint(err error) string {
	var cmd *cli.Command
	if on, ok := errors.AsType[*commandError](err); ok {
		cmd = on.cmd
	}
	if f, ok := errors.AsType[findings](err); ok {
		err = f.gravest()
	}
	code := exitCode(err)
	switch { // what is whole as it is
	case errors.Is(err, errUsage) && cmd != nil:
		return cmd.FullName() + " --help"
	case code == exitUsage && !errors.Is(err, site.ErrConfig):
		return "aspupdate --help"
	case code == exitUsage:
		return exitTable[code].next
	case code == exitAbandoned && (errors.Is(err, errStopped) || errors.Is(err, context.Canceled)):
		return "again when it suits: aspupdate " + typed(os.Args[1:])
	case errors.Is(err, rollback.ErrPending) && code == exitRefused:
		return ofSite(cmd, "aspupdate recover")
	}
	if r, ok := errors.AsType[*rollback.Refusal](err); ok && code == exitRefused {
		return refusalHint(r, cmd)
	}
	switch {
	case errors.Is(err, site.ErrNotFetched):
		return ofSite(cmd, "aspupdate fetch")
	case errors.Is(err, schedule.ErrBeyondData):
		return "name a file with later decrees in calendar.decrees of the configuration"
	case errors.Is(err, install.ErrRights):
		return ofSite(cmd, lookAgain)
	}
	return ofSite(cmd, exitTable[code].next)
}

// refusalHint says what to do about a refusal that has no exit code of its own.
func refusalHint(r *rollback.Refusal, cmd *cli.Command) string {
	name := "update"
	if cmd != nil {
		name = cmd.Name
	}
	switch r.Reason {
	case rollback.ReasonQuarantined:
		return ofSite(cmd, "aspupdate lift", " --distribution "+quote(r.Part)+" --reason WHY "+quote(r.Release.Version)+"; or wait for another release")
	case rollback.ReasonPlanChanged:
		switch {
		case cmd == nil:
			return "aspupdate plan"
		case name == "rollback" && cmd.String("override") == "":
			return ofSite(cmd, "aspupdate rollback") // without --confirm there is no --reason
		case name == "rollback":
			return again(cmd, name)
		}
		return again(cmd, "plan")
	case rollback.ReasonWindow:
		when := "aspupdate plan says when an update may start; "
		if name != "update" {
			when = ""
		}
		return ofSite(cmd, when+"aspupdate "+name, " --override R13 --reason WHY leaves the support's hours out")
	case rollback.ReasonInstalled:
		switch {
		case name == "recover":
			return ofSite(cmd, exitTable[exitOperator].next)
		case cmd != nil && cmd.Bool("first-installation"):
			return "leave --first-installation out"
		}
		return ofSite(cmd, "aspupdate adopt", " --reason WHY, if that version was installed by other means; else mend what the message names")
	case rollback.ReasonBackup:
		return ofSite(cmd, "aspupdate backups verify")
	case rollback.ReasonInstaller, rollback.ReasonSetup:
		return ofSite(cmd, lookAgain)
	}
	return ofSite(cmd, "aspupdate status")
}

// ourCommand is one of our commands in a text.
var ourCommand = regexp.MustCompile(`\baspupdate ((archive|backups) )?[a-z]+`)

// ofSite gives each command in a text the --config that was given; what
// follows the text may be anybody's words, and stays as it is.
func ofSite(cmd *cli.Command, text string, more ...string) string {
	if cmd != nil {
		if words := flags(cmd, "config"); len(words) > 0 {
			text = ourCommand.ReplaceAllStringFunc(text, func(ours string) string { return ours + " " + strings.Join(words, " ") })
		}
	}
	return text + strings.Join(more, "")
}

// A commandError is an error of a command, and knows how that was called.
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

// typed are words as they are typed.
func typed(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, " ")
}

// quote quotes a word so that a shell takes it as it is.
func quote(word string) string { return quoteFor(runtime.GOOS, word) }

// plain is a word that no shell reads anything into.
var plain = regexp.MustCompile(`^[\pL\pN_+=:./-]+$`)

func quoteFor(system, word string) string {
	switch {
	case system == "windows" && plain.MatchString(strings.ReplaceAll(word, `\`, "/")),
		system != "windows" && plain.MatchString(word):
		return word
	case system != "windows":
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	// As programs take their command line apart: a backslash counts only
	// before a quote.
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
