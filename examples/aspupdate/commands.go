package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/aspupdate/internal/demo"
)

// app returns the whole command line.
func app() *cli.Command {
	config := &cli.StringFlag{Name: "config", Value: "aspupdate.toml", Usage: "the TOML file that describes the installation", Sources: cli.EnvVars("ASPUPDATE_CONFIG")}
	quiet := &cli.BoolFlag{Name: "quiet", Usage: "print only the answer and errors"}
	asJSON := &cli.BoolFlag{Name: "json", Usage: "print one JSON document to standard output, everything else to standard error"}
	root := &cli.Command{
		Name: "aspupdate", Usage: "update ASP by the vendor's regulation, and roll back if an update fails",
		Description:           exitHelp(),
		EnableShellCompletion: true,                                          // aspupdate completion bash
		ExitErrHandler:        func(context.Context, *cli.Command, error) {}, // main prints and exits
		OnUsageError: func(_ context.Context, cmd *cli.Command, err error, _ bool) error {
			return configured(cmd, usage("%w; see --help", err))
		},
		Commands: []*cli.Command{{
			Name: "demo", Usage: "demonstrate the whole flow on this machine: a good release, a broken one, a killed update",
			Flags:    []cli.Flag{&cli.BoolFlag{Name: "keep", Usage: "keep the demo's directory"}, quiet, asJSON},
			Action:   alone(runDemo),
			Commands: demo.Commands(),
		}},
	}
	for _, group := range [][]*cli.Command{updateCommands(), questionCommands(), decisionCommands(), storeCommands()} {
		root.Commands = append(root.Commands, group...)
	}
	prepare(root, root.OnUsageError, config, quiet, asJSON)
	return root
}

// Flags that several commands have.
var (
	firstFlag          = &cli.BoolFlag{Name: "first-installation", Usage: "nothing is installed yet: use FullSetup (R3)"}
	overrideFlag       = &cli.StringFlag{Name: "override", Usage: "override this `RULE` once: R13, the support hours; needs --reason"}
	reasonFlag         = &cli.StringFlag{Name: "reason", Usage: "why; recorded"}
	requiredReasonFlag = &cli.StringFlag{Name: "reason", Required: true, Usage: "why; recorded"}
	distributionFlag   = &cli.StringFlag{Name: "distribution", Required: true, Usage: "the distribution's `NAME`"}
	keepFlag           = &cli.IntFlag{Name: "keep", Usage: "keep this `NUMBER` of the newest, for each distribution or database"}
	youngerFlag        = &cli.DurationFlag{Name: "younger", Usage: "keep what is newer than this `DURATION`: 2160h is 90 days"}
	dryRunFlag         = &cli.BoolFlag{Name: "dry-run", Usage: "only show what would be removed"}
)

// updateCommands returns the commands that change the installation.
func updateCommands() []*cli.Command {
	return []*cli.Command{
		{
			Name: "fetch", Usage: "download the newest release into the archive",
			Flags: []cli.Flag{firstFlag}, Action: onSite(fetchNewest),
		},
		{
			Name: "plan", Usage: "show what an update would do, and change nothing",
			Flags: []cli.Flag{firstFlag, overrideFlag, reasonFlag}, Action: onSite(plan),
		},
		{
			Name: "update", Usage: "finish a pending update, fetch, plan, update; roll back if it fails",
			Flags: []cli.Flag{
				firstFlag, overrideFlag, reasonFlag,
				&cli.StringFlag{Name: "plan", Usage: "run only the plan with this `HASH`, without asking"},
				&cli.BoolFlag{Name: "yes", Usage: "do not ask for confirmation, which happens only on a terminal"},
			},
			Action: onSite(update),
		},
		{
			Name: "recover", Usage: "finish a pending update; run this when the machine starts",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "retry", Usage: "after \"a person must decide\": try the rollback again, for this `REASON`"},
				&cli.StringFlag{Name: "accept", Usage: "after \"a person must decide\": accept what was repaired by hand, for this `REASON`"},
			},
			Action: onSite(recoverPending),
		},
		{
			Name: "rollback", Usage: "show what rolling back the last committed update would do and cost, or do it with --confirm (R15)",
			Flags: []cli.Flag{
				overrideFlag, reasonFlag,
				&cli.StringFlag{Name: "confirm", Usage: "roll back as shown with this `HASH`; what was entered since the update is set aside, not merged"},
			},
			Action: onSite(revert),
		},
	}
}

// questionCommands returns the commands that only report.
func questionCommands() []*cli.Command {
	return []*cli.Command{
		{
			Name: "check", Usage: "show what is installed, what is newest, and what is due or late",
			Action: onSite(check),
		},
		{
			Name: "calendar", Usage: "show a month's releases, days off and support hours", ArgsUsage: "[2026-12]",
			Flags:  []cli.Flag{&cli.StringFlag{Name: "ics", Usage: "also write that month and the next eleven to this iCalendar `FILE`"}},
			Action: onSite(calendar),
		},
		{
			Name: "doctor", Usage: "check everything that an update needs, and show what to fix",
			Flags:  []cli.Flag{&cli.BoolFlag{Name: "init", Usage: "only write a commented configuration to start from"}},
			Action: orInit(onSite(doctor)),
		},
		{
			Name: "watch", Usage: "report releases and delays to the configured command, until stopped",
			Action: onSite(watchServer),
		},
		{
			Name: "status", Usage: "show what is committed, pending, quarantined and set aside",
			Action: onConfig(status, true),
		},
	}
}

// decisionCommands returns the commands that record a person's decision.
func decisionCommands() []*cli.Command {
	return []*cli.Command{
		{
			Name: "adopt", Usage: "accept the installed version, however it was installed, as the one to update from",
			Flags: []cli.Flag{requiredReasonFlag}, Action: onSite(adopt),
		},
		{
			Name: "lift", Usage: "allow a rolled-back release again", ArgsUsage: "VERSION",
			Flags: []cli.Flag{distributionFlag, requiredReasonFlag}, Action: onSite(lift),
		},
		{
			Name: "confirm", Usage: "confirm a requirement of the first version of a year (R14)", ArgsUsage: "TEXT",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "who", Required: true, Usage: "who confirms it; recorded"},
				&cli.StringFlag{Name: "note", Usage: "a note; recorded"},
			},
			Action: onSite(confirm),
		},
		{
			Name: "forget", Usage: "give up the data set aside by a rollback, so that backups prune may remove it", ArgsUsage: "UPDATE",
			Flags: []cli.Flag{requiredReasonFlag}, Action: onSite(forget),
		},
	}
}

// storeCommands returns the commands for the archive and the backups.
func storeCommands() []*cli.Command {
	return []*cli.Command{
		{Name: "archive", Usage: "manage the archive of versions (R10)", Commands: []*cli.Command{
			{
				Name: "list", Usage: "show what is archived, what vouches for it, and what is in use",
				Action: onSite(archiveList),
			},
			{
				Name: "verify", Usage: "read every file back and compare its hash",
				Action: onSite(archiveVerify),
			},
			{
				Name: "import", Usage: "add a Setup that came from support", ArgsUsage: "FILE",
				Flags: []cli.Flag{
					distributionFlag,
					&cli.StringFlag{Name: "version", Required: true, Usage: "its `VERSION`"},
				},
				Action: onSite(archiveImport),
			},
			{
				Name: "prune", Usage: "remove old versions, never one that is in use",
				Flags: []cli.Flag{keepFlag, youngerFlag, dryRunFlag}, Action: onSite(archivePrune),
			},
		}},
		{Name: "backups", Usage: "manage the snapshots that a rollback restores (R9)", Commands: []*cli.Command{
			{
				Name: "list", Usage: "show the snapshots, and which are in use",
				Action: onSite(backupsList),
			},
			{
				Name: "verify", Usage: "read every file back and compare its hash",
				Action: onSite(backupsVerify),
			},
			{
				Name: "prune", Usage: "remove old snapshots, never one that a rollback needs",
				Flags: []cli.Flag{keepFlag, youngerFlag, dryRunFlag}, Action: onSite(backupsPrune),
			},
		}},
	}
}

// noCommand prints the help if no command is given, and refuses an unknown one.
func noCommand(_ context.Context, cmd *cli.Command) error {
	switch {
	case cmd.Args().Present():
		return usage("unknown command %q; see --help", cmd.Args().First())
	case cmd == cmd.Root():
		return cli.ShowRootCommandHelp(cmd)
	}
	return cli.ShowSubcommandHelp(cmd)
}

// prepare adds to every command the flags and the handlers that all have.
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
