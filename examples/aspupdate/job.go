package main

import (
	"cmp"
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

// A job is a command that runs on a site.
type job struct {
	*site.Site
	show *printer
	cmd  *cli.Command
}

// onSite runs a command on the site that its configuration describes.
func onSite(do func(context.Context, *job) error) cli.ActionFunc { return onConfig(do, false) }

// onConfig is onSite; with journalOnly the command needs only the journal, and
// runs even if the rest of the configuration cannot be read, such as a
// password's file.
func onConfig(do func(context.Context, *job) error, journalOnly bool) cli.ActionFunc {
	return alone(func(ctx context.Context, show *printer, cmd *cli.Command) error {
		c, err := site.Load(cmd.String("config"))
		if journalOnly && c != nil && err != nil {
			show.line("%v", err)
			err = nil
		}
		if cmd.ArgsUsage == "" {
			err = cmp.Or(noArguments(cmd), err)
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
	return demo.Run(ctx, out, cmd.Bool("keep"))
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
	words := append([]string{"aspupdate", name}, flags(cmd, "config", "override", "reason")...)
	if cmd.Bool("first-installation") {
		words = append(words, "--first-installation")
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
