package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/aspupdate/internal/demo"
	"github.com/aspupdate/aspupdate/examples/internal/site"
)

// A job is a command at work on a site.
type job struct {
	*site.Site
	show *printer
	cmd  *cli.Command
}

// onSite has a command work on the site of its configuration.
func onSite(do func(context.Context, *job) error) cli.ActionFunc { return onConfig(do, false) }

// onConfig has a command that looks at the journal alone work also where the
// rest of the configuration, a password's file for one, cannot be read.
func onConfig(do func(context.Context, *job) error, journal bool) cli.ActionFunc {
	return alone(func(ctx context.Context, show *printer, cmd *cli.Command) error {
		c, err := site.Load(cmd.String("config"))
		if journal && c != nil && err != nil {
			show.line("%v", err)
			err = nil
		}
		if cmd.ArgsUsage == "" && cmd.Args().Present() {
			err = usage("%q is too much on the command line; see --help", cmd.Args().First())
		}
		if err == nil {
			show.Clock = c.Clock()
			err = do(ctx, &job{&site.Site{Config: c, First: cmd.Bool("first-installation"), Observe: show.observe()}, show, cmd})
		}
		if err != nil && ctx.Err() != nil && slices.Contains([]int{exitOther, exitAbandoned}, exitCode(err)) {
			err = fmt.Errorf("%w: %w", errStopped, err)
		}
		return configured(cmd, err)
	})
}

// alone has a command work without a site.
func alone(do func(context.Context, *printer, *cli.Command) error) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		show := newPrinter(cmd)
		return show.end(cmd.Name, do(ctx, show, cmd))
	}
}

func runDemo(ctx context.Context, show *printer, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return configured(cmd, usage("%q is too much on the command line; see --help", cmd.Args().First()))
	}
	out := show.out
	if show.quiet {
		out = io.Discard
	}
	return demo.Run(ctx, out, cmd.Bool("keep"))
}

// argument returns a command's only argument.
func argument(cmd *cli.Command, what string) (string, error) {
	if cmd.Args().Len() != 1 {
		return "", usage("give one %s", what)
	}
	return cmd.Args().First(), nil
}

// again is the command line of another command for the same site.
func again(cmd *cli.Command, name string, more ...string) string {
	words := append([]string{"aspupdate", name}, flags(cmd, "config", "override", "reason")...)
	if cmd.Bool("first-installation") {
		words = append(words, "--first-installation")
	}
	return strings.Join(append(words, more...), " ")
}

// flags are those of the named flags that were given, as they are typed.
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
