// Command aspupdate carries out the vendor's update regulation with the
// packages of this module. It is an example, to be read and adapted. Here are
// its flags, its output and its exit codes; how the packages are composed is in
// examples/internal/site, whose doc.go says which few calls are internal to
// this module and what another program puts in their place.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/aspupdate/internal/demo"
)

func main() { os.Exit(run()) }

func run() (code int) {
	defer func() {
		// Go's own exit code for a panic means something else here.
		if r := recover(); r != nil {
			fmt.Fprintf(os.Stderr, "aspupdate: a defect of this program: %v\n%s\nnext: aspupdate status, and report this\n", r, debug.Stack())
			code = exitOther
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// The first Ctrl-C, or what a service manager sends, stops at a safe
	// point; the second one at once.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "aspupdate: stopping at the next safe point: once an installer has begun, that is the update's end; once more stops at once, and leaves the rest to aspupdate recover")
		cancel()
		<-signals
		fmt.Fprintln(os.Stderr, "aspupdate: stopped at once\nstate: "+exitTable[exitInterrupted].meaning+"\nnext: aspupdate recover, if an update was at work")
		os.Exit(exitInterrupted)
	}()
	err := app().Run(ctx, os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "aspupdate:", err)
		if code := exitCode(err); code != exitNothing {
			fmt.Fprintln(os.Stderr, "state:", exitTable[code].meaning)
		}
		if next := hint(err); next != "" {
			fmt.Fprintln(os.Stderr, "next:", next)
		}
	}
	return exitCode(err)
}

func app() *cli.Command {
	conf := &cli.StringFlag{Name: "config", Value: "aspupdate.toml", Usage: "the TOML file that describes the installation", Sources: cli.EnvVars("ASPUPDATE_CONFIG")}
	first := &cli.BoolFlag{Name: "first-installation", Usage: "nothing is installed yet: take FullSetup (R3)"}
	override := &cli.StringFlag{Name: "override", Usage: "the `RULE` to leave out for once: R13, the support's hours; wants --reason"}
	why := &cli.StringFlag{Name: "reason", Usage: "why; recorded"}
	reason := &cli.StringFlag{Name: "reason", Required: true, Usage: "why; recorded"}
	distribution := &cli.StringFlag{Name: "distribution", Required: true, Usage: "the distribution's `NAME`"}
	keep := &cli.IntFlag{Name: "keep", Usage: "the `NUMBER` of newest ones, of each distribution or database, that stay"}
	younger := &cli.DurationFlag{Name: "younger", Usage: "what came less than this `DURATION` ago stays: 2160h are 90 days"}
	dryRun := &cli.BoolFlag{Name: "dry-run", Usage: "only say what would go"}
	quiet := &cli.BoolFlag{Name: "quiet", Usage: "say nothing but the answer and errors"}
	asJSON := &cli.BoolFlag{Name: "json", Usage: "write one JSON document to standard output, and the rest to standard error"}
	root := &cli.Command{
		Name: "aspupdate", Usage: "update the vendor's complex by its regulation, and get back if it fails",
		Description:           exitHelp(),
		EnableShellCompletion: true,                                          // aspupdate completion bash
		ExitErrHandler:        func(context.Context, *cli.Command, error) {}, // main prints and exits
		OnUsageError: func(_ context.Context, cmd *cli.Command, err error, _ bool) error {
			return configured(cmd, usage("%w; see --help", err))
		},
		Commands: []*cli.Command{
			{Name: "demo", Usage: "show the whole flow on this machine: a good release, a broken one, a killed update", Flags: []cli.Flag{
				&cli.BoolFlag{Name: "keep", Usage: "keep the demo's folder"}, quiet, asJSON,
			}, Action: alone(runDemo), Commands: demo.Commands()},
			{Name: "fetch", Usage: "look on the server and bring the newest release into the archive", Flags: []cli.Flag{first}, Action: onSite(fetchNewest)},
			{Name: "plan", Usage: "say what an update would do, and write nothing", Flags: []cli.Flag{first, override, why}, Action: onSite(plan)},
			{Name: "update", Usage: "recover what is pending, fetch, plan, update; roll back if it fails", Flags: []cli.Flag{
				first, override, why,
				&cli.StringFlag{Name: "plan", Usage: "run only the plan with this `HASH`, and do not ask"},
				&cli.BoolFlag{Name: "yes", Usage: "do not ask on a terminal whether the plan is right; elsewhere nobody is asked"},
			}, Action: onSite(update)},
			{Name: "recover", Usage: "bring a pending update to its end; call it when the machine starts", Flags: []cli.Flag{
				&cli.StringFlag{Name: "retry", Usage: "after \"a person must decide\": try the way back again, for this `REASON`"},
				&cli.StringFlag{Name: "accept", Usage: "after \"a person must decide\": things were put right by hand, for this `REASON`"},
			}, Action: onSite(recoverPending)},
			{Name: "rollback", Usage: "after a commit: say what going back would do and cost, and with --confirm do it (R15)", Flags: []cli.Flag{
				override, why,
				&cli.StringFlag{Name: "confirm", Usage: "go back as it was shown with this `HASH`; what was entered since is kept aside, not merged"},
			}, Action: onSite(goBack)},
			{Name: "forget", Usage: "let go of what a rollback kept aside", ArgsUsage: "UPDATE", Flags: []cli.Flag{reason}, Action: onSite(forget)},
			{Name: "check", Usage: "say what is installed, what is newest, and what is due or late", Action: onSite(check)},
			{Name: "calendar", Usage: "show a month's releases, days off and support hours", ArgsUsage: "[2026-12]", Flags: []cli.Flag{
				&cli.StringFlag{Name: "ics", Usage: "also write the month and the eleven after it into this iCalendar `FILE`"},
			}, Action: onSite(calendar)},
			{Name: "doctor", Usage: "look at all that an update will need, and say what to fix", Flags: []cli.Flag{
				&cli.BoolFlag{Name: "init", Usage: "only write a commented configuration to begin with"},
			}, Action: orInit(onSite(doctor))},
			{Name: "watch", Usage: "look for releases until stopped, and tell the configured command of each, and of what is late", Action: onSite(watchServer)},
			{Name: "status", Usage: "say what is committed, pending, quarantined and kept aside", Action: onConfig(status, true)},
			{Name: "adopt", Usage: "take the version that is installed, by whatever means, as the one to update from", Flags: []cli.Flag{reason}, Action: onSite(adopt)},
			{Name: "lift", Usage: "let a release in again that was rolled back here", ArgsUsage: "VERSION", Flags: []cli.Flag{
				distribution, reason,
			}, Action: onSite(lift)},
			{Name: "confirm", Usage: "take a person's word for what the first version of a year requires (R14)", ArgsUsage: "TEXT", Flags: []cli.Flag{
				&cli.StringFlag{Name: "who", Required: true, Usage: "whose word it is; recorded"},
				&cli.StringFlag{Name: "note", Usage: "recorded"},
			}, Action: onSite(confirm)},
			{Name: "archive", Usage: "look after the archive of versions (R10)", Commands: []*cli.Command{
				{Name: "list", Usage: "say what is archived, who vouches for it, and what is in use", Action: onSite(archiveList)},
				{Name: "verify", Usage: "read every byte back and compare", Action: onSite(archiveVerify)},
				{Name: "import", Usage: "take a Setup that came from the support", ArgsUsage: "FILE", Flags: []cli.Flag{
					distribution,
					&cli.StringFlag{Name: "version", Required: true, Usage: "its `VERSION`"},
				}, Action: onSite(archiveImport)},
				{Name: "prune", Usage: "remove old versions, never one that is in use", Flags: []cli.Flag{keep, younger, dryRun}, Action: onSite(archivePrune)},
			}},
			{Name: "backups", Usage: "look after the snapshots that a way back restores (R9)", Commands: []*cli.Command{
				{Name: "list", Usage: "say what is kept, and what is in use", Action: onSite(backupsList)},
				{Name: "verify", Usage: "read every byte back and compare", Action: onSite(backupsVerify)},
				{Name: "prune", Usage: "remove old ones, never one that a rollback needs", Flags: []cli.Flag{keep, younger, dryRun}, Action: onSite(backupsPrune)},
			}},
		},
	}
	prepare(root, root.OnUsageError, conf, quiet, asJSON)
	return root
}

// noCommand shows the help, or refuses what is no command.
func noCommand(_ context.Context, cmd *cli.Command) error {
	switch {
	case cmd.Args().Present():
		return usage("%q is no command; see --help", cmd.Args().First())
	case cmd == cmd.Root():
		return cli.ShowRootCommandHelp(cmd)
	}
	return cli.ShowSubcommandHelp(cmd)
}

// prepare gives every command that does something what all of them have.
func prepare(c *cli.Command, onUsageError cli.OnUsageErrorFunc, common ...cli.Flag) {
	for _, sub := range c.Commands {
		sub.OnUsageError = onUsageError
		if sub.Name == "demo" {
			continue
		}
		if sub.Action != nil {
			sub.Flags = append(sub.Flags, common...)
		}
		prepare(sub, onUsageError, common...)
	}
	if len(c.Commands) > 0 {
		c.Action = noCommand
	}
}
