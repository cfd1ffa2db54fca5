package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/internal/demo"
	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/version"
)

// A job is a command that runs on a site.
type job struct {
	*site.Site
	show *printer
	cmd  *cli.Command

	incomplete bool            // the configuration: only the journal can be read
	failed     *rollback.Error // with which the command ended
}

// onSite runs a command on the site that its configuration describes.
func onSite(do func(context.Context, *job) error) cli.ActionFunc { return onConfig(do, needsAll) }

// here runs a command that needs nothing of the server, such as its password: what
// is pending must end even if that cannot be read.
func here(do func(context.Context, *job) error) cli.ActionFunc { return onConfig(do, needsNoServer) }

// A need is how much of the configuration a command needs.
type need int

const (
	needsJournal need = iota
	needsNoServer
	needsAll
)

// onConfig is onSite for a command that needs less: one that needs only the journal
// runs even if the rest of the configuration cannot be read, such as a
// password's file.
func onConfig(do func(context.Context, *job) error, needs need) cli.ActionFunc {
	return alone(func(ctx context.Context, show *printer, cmd *cli.Command) error {
		c, err := site.Load(cmd.String("config"))
		_, onlyServer := errors.AsType[*site.ServerError](err)
		tolerated := err != nil && c != nil && (needs == needsJournal || needs == needsNoServer && onlyServer)
		incomplete := tolerated && !onlyServer
		if tolerated {
			show.line("%v", err)
			err = nil
		}
		if cmd.ArgsUsage == "" {
			err = cmp.Or(noArguments(cmd), err)
		}
		var chosen version.Version
		if err == nil {
			chosen, err = archivedVersion(cmd)
		}
		if err == nil {
			show.Clock = c.Clock()
			s := &site.Site{Config: c, First: cmd.Bool("first-installation"), Offline: cmd.Bool("offline"), Version: chosen, Observe: show.observe()}
			err = do(ctx, &job{Site: s, show: show, cmd: cmd, incomplete: incomplete})
		}
		if err != nil && ctx.Err() != nil && slices.Contains([]int{exitOther, exitAbandoned}, exitCode(err)) {
			err = fmt.Errorf("%w: %w", errStopped, err)
		}
		return configured(cmd, err)
	})
}

// archivedVersion returns the version that a command with --offline is to use.
func archivedVersion(cmd *cli.Command) (v version.Version, err error) {
	text := cmd.String("version")
	switch has := slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), "offline") }); {
	case text == "" || !has:
		return v, nil
	case !cmd.Bool("offline"):
		return v, usage("--version given without --offline: the newest release of the server is used")
	}
	if v, err = version.Parse(text); err != nil {
		err = usage("--version: %w", err)
	}
	return v, err
}

// alone runs a command that needs no site.
func alone(do func(context.Context, *printer, *cli.Command) error) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		show := newPrinter(cmd)
		return show.end(cmd.Name, do(ctx, show, cmd))
	}
}

func runDemo(ctx context.Context, show *printer, cmd *cli.Command) error {
	if err := noArguments(cmd); err != nil {
		return configured(cmd, err)
	}
	out := show.out
	if show.quiet {
		out = io.Discard
	}
	_ = os.Setenv("LC_ALL", show.speak.String()) // for the programs that it runs, which are this one
	switch kind := cmd.String("site"); kind {
	case "", "plain":
		return demo.Run(ctx, textWriter{out, show.speak}, cmd.Bool("keep"))
	case "asp":
		return demo.ASP{Keep: cmd.Bool("keep")}.Run(ctx, textWriter{out, show.speak})
	default:
		return configured(cmd, usage("unknown site %q: give plain or asp", kind))
	}
}

// noArguments refuses any argument.
func noArguments(cmd *cli.Command) error {
	if cmd.Args().Present() {
		return usage("unexpected argument %q; see --help", cmd.Args().First())
	}
	return nil
}

// argument returns a command's only argument.
func argument(cmd *cli.Command, what string) (string, error) {
	if n := cmd.Args().Len(); n != 1 {
		return "", usage("expected one %s, got %d arguments", what, n)
	}
	return cmd.Args().First(), nil
}

// again returns the command line of a command for the same site, with the same
// override.
func again(cmd *cli.Command, name string, more ...string) string {
	words := append([]string{"aspupdate", name}, flags(cmd, "config", "override", "reason", "version")...)
	if cmd.Bool("first-installation") {
		words = append(words, "--first-installation")
	}
	if cmd.Bool("offline") {
		words = append(words, "--offline")
	}
	return strings.Join(append(words, more...), " ")
}

// flags returns the named flags that were given, as they are typed.
func flags(cmd *cli.Command, names ...string) (words []string) {
	for _, name := range names {
		value := cmd.String(name)
		if !cmd.IsSet(name) || name == "config" && value == os.Getenv("ASPUPDATE_CONFIG") {
			continue
		}
		words = append(words, "--"+name, quote(value))
	}
	return words
}
