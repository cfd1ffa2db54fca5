package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/aspupdate/internal/lang"
	"github.com/aspupdate/aspupdate/examples/internal/demo"
)

// app returns the whole command line. Its help is in the language.
func app(speak *lang.Language) *cli.Command {
	config := &cli.StringFlag{Name: "config", Value: "aspupdate.toml", Usage: "the TOML file that describes the installation", Sources: cli.EnvVars("ASPUPDATE_CONFIG")}
	quiet := &cli.BoolFlag{Name: "quiet", Usage: "print only the answer and errors"}
	language := &cli.StringFlag{Name: "lang", Usage: "the language of messages: en or ru"} // see speaks
	asJSON := &cli.BoolFlag{Name: "json", Usage: "print one JSON document to standard output, everything else to standard error"}
	root := &cli.Command{
		Name: "aspupdate", Usage: "update ASP by the vendor's regulation, and roll back if an update fails",
		Version:               buildVersion(),
		Metadata:              map[string]any{speaking: speak},
		Flags:                 []cli.Flag{language},
		EnableShellCompletion: true, ConfigureShellCompletionCommand: completions, // aspupdate completion bash
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // main prints and exits
		OnUsageError: func(_ context.Context, cmd *cli.Command, err error, _ bool) error {
			return configured(cmd, usage("%w; see --help", err))
		},
		Commands: []*cli.Command{{
			Name: "demo", Usage: "demonstrate the whole flow on this machine: a good release, a broken one, a killed update",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "site", Usage: "the `KIND` of application: plain has one database, asp twenty that are restructured after the installer"},
				&cli.BoolFlag{Name: "keep", Usage: "keep the demo's directory"}, quiet, asJSON,
			},
			Action:   alone(runDemo),
			Commands: demo.Commands(),
		}},
	}
	for _, group := range []struct {
		title    string
		commands []*cli.Command
	}{
		{"Update and roll back", updateCommands()},
		{"Ask", questionCommands()},
		{"Decide", decisionCommands()},
		{"Archive and backups", storeCommands()},
		{"On this machine", machineCommands()},
	} {
		for _, c := range group.commands {
			c.Metadata = map[string]any{grouped: group.title}
			root.Commands = append(root.Commands, c)
		}
	}
	prepare(root, root.OnUsageError, config, quiet, asJSON)
	root.Commands = append(root.Commands, manCommand())
	translate(root, speak)
	root.CustomRootCommandHelpTemplate = rootHelp(root, speak)
	return root
}

// Flags that several commands have.
var (
	firstFlag          = &cli.BoolFlag{Name: "first-installation", Usage: "nothing is installed yet: use FullSetup (R3)"}
	overrideFlag       = &cli.StringFlag{Name: "override", Usage: "override this `RULE` once: R13, the support hours; R9, the proof of a backup; R9,R13 both; needs --reason"}
	reasonFlag         = &cli.StringFlag{Name: "reason", Usage: "why; recorded"}
	requiredReasonFlag = &cli.StringFlag{Name: "reason", Required: true, Usage: "why; recorded"}
	distributionFlag   = &cli.StringFlag{Name: "distribution", Required: true, Usage: "the distribution's `NAME`"}
	keepFlag           = &cli.IntFlag{Name: "keep", Usage: "keep this `NUMBER` of the newest, for each distribution or database"}
	youngerFlag        = &cli.DurationFlag{Name: "younger", Usage: "keep what is newer than this `DURATION`: 2160h is 90 days"}
	offlineFlag        = &cli.BoolFlag{Name: "offline", Usage: "do not ask the server: use what is in the archive (R10)"}
	archivedFlag       = &cli.StringFlag{Name: "version", Usage: "with --offline: this `VERSION` and not the newest"}
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
			Flags: []cli.Flag{firstFlag, overrideFlag, reasonFlag, offlineFlag, archivedFlag}, Action: onSite(plan),
		},
		{
			Name: "update", Usage: "finish a pending update, fetch, plan, update; roll back if it fails",
			Flags: []cli.Flag{
				firstFlag, overrideFlag, reasonFlag, offlineFlag, archivedFlag,
				&cli.StringFlag{Name: "plan", Usage: "run only the plan with this `HASH`, without asking"},
				&cli.BoolFlag{Name: "yes", Usage: "do not ask for confirmation, which happens only on a terminal"},
			},
			Action: onSite(notifying(announcing(update))),
		},
		{
			Name: "recover", Usage: "finish a pending update; run this when the machine starts",
			DisableSliceFlagSeparator: true, // a name may have commas
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "retry", Usage: "after \"a person must decide\": try the rollback again, for this `REASON`"},
				&cli.StringFlag{Name: "accept", Usage: "after \"a person must decide\": accept what was repaired by hand, for this `REASON`"},
				&cli.StringSliceFlag{Name: "unkept", Usage: "with --retry: restore the data `NAME` even if no copy of today can be made of it first, because it is damaged; what the restore replaces stays beside it until the next update"},
				&cli.StringSliceFlag{Name: "differing", Usage: "with --retry: put in place the database `NAME` as it was restored beside, although it differs from its snapshot as status shows; a snapshot of what is live is kept"},
				&cli.StringSliceFlag{Name: "installed", Usage: "with --accept: the `VERSION` that is installed, such as the support's hotfix; VERSION@SHA256 if several files of it are archived, NAME=VERSION for one distribution of several"},
				&cli.StringSliceFlag{Name: "setup", Usage: "with --accept: the `FILE` of the Setup that is installed, such as the support's hotfix, if it is not archived: that is done first; NAME=FILE for one distribution of several"},
			},
			Action: here(notifying(announcing(recoverPending))),
		},
		{
			Name: "rollback", Usage: "show what rolling back the last committed update would do and cost, or do it with --confirm (R15)",
			Flags: []cli.Flag{
				overrideFlag, reasonFlag,
				&cli.StringFlag{Name: "confirm", Usage: "roll back as shown with this `HASH`; what was entered since the update is set aside, not merged"},
			},
			Action: here(notifying(announcing(revert))),
		},
	}
}

// questionCommands returns the commands that only report.
func questionCommands() []*cli.Command {
	return []*cli.Command{
		{
			Name: "check", Usage: "show what is installed, what is newest, and what is due or late",
			Flags: []cli.Flag{offlineFlag}, Action: onSite(check),
		},
		{
			Name: "calendar", Usage: "show a month's releases, days off and support hours", ArgsUsage: "[2026-12]",
			Flags:  []cli.Flag{&cli.StringFlag{Name: "ics", Usage: "also write that month and the next eleven to this iCalendar `FILE`"}},
			Action: onSite(calendar),
		},
		{
			Name: "doctor", Usage: "check everything that an update needs, and show what to fix",
			Flags: []cli.Flag{
				&cli.BoolFlag{Name: "init", Usage: "only write a commented configuration to start from"},
				&cli.BoolFlag{Name: "rehearse", Usage: "also keep users out, stop the application, take and prove a snapshot, start, and let users in, each command twice; in a quiet hour"},
			},
			Action: orInit(onSite(doctor)),
		},
		{
			Name: "watch", Usage: "notify people of releases and delays, until stopped",
			Action: onSite(watchServer),
		},
		{Name: "notify", Usage: "check how people are notified of outcomes and releases", Commands: []*cli.Command{
			{
				Name: "test", Usage: "send a test notification, and show what became of it",
				Action: here(notifyTest),
			},
		}},
		{
			Name: "status", Usage: "show what is committed, pending, quarantined and set aside; for monitoring, its exit code is the state",
			Flags: []cli.Flag{
				&cli.IntFlag{Name: "last", Usage: "show the last `NUMBER` updates of each distribution as a table, with how long users were out, in place of the history"},
				&cli.BoolFlag{Name: "watch", Usage: "on a terminal: show it again every two seconds, until Ctrl-C"},
				&cli.StringFlag{Name: "metrics", Usage: "also write the state to this `FILE` in Prometheus' text format, for node_exporter's textfile collector; - prints it instead"},
			},
			Action: onConfig(status, needsJournal),
		},
	}
}

// decisionCommands returns the commands that record a person's decision.
func decisionCommands() []*cli.Command {
	return []*cli.Command{
		{
			Name: "adopt", Usage: "accept the installed version, however it was installed, as the one to update from",
			DisableSliceFlagSeparator: true, // a name may have commas
			Flags: []cli.Flag{
				requiredReasonFlag,
				&cli.StringSliceFlag{Name: "setup", Usage: "the `FILE` of the Setup that is installed, if it is not archived: that is done first; NAME=FILE for one distribution of several"},
			},
			Action: here(adopt),
		},
		{
			Name: "open", Usage: "let users in if no update is pending: open every part of the fence, and show what was found",
			Flags: []cli.Flag{requiredReasonFlag}, Action: here(openFence),
		},
		{
			Name: "lift", Usage: "allow a rolled-back release again", ArgsUsage: "VERSION",
			Flags: []cli.Flag{distributionFlag, requiredReasonFlag}, Action: here(lift),
		},
		{
			Name: "confirm", Usage: "confirm a requirement of the first version of a year (R14)", ArgsUsage: "TEXT",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "who", Required: true, Usage: "who confirms it; recorded"},
				&cli.StringFlag{Name: "note", Usage: "a note; recorded"},
			},
			Action: here(confirm),
		},
		{
			Name: "forget", Usage: "give up the data set aside by a rollback, so that backups prune may remove it", ArgsUsage: "UPDATE",
			Flags: []cli.Flag{requiredReasonFlag}, Action: here(forget),
		},
	}
}

// storeCommands returns the commands for the archive and the backups.
func storeCommands() []*cli.Command {
	return []*cli.Command{
		{Name: "archive", Usage: "manage the archive of versions (R10)", Commands: []*cli.Command{
			{
				Name: "list", Usage: "show what is archived, what vouches for it, and what is in use",
				Action: here(archiveList),
			},
			{
				Name: "verify", Usage: "read every file back and compare its hash",
				Action: here(archiveVerify),
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
				Flags: []cli.Flag{keepFlag, youngerFlag, dryRunFlag}, Action: here(archivePrune),
			},
		}},
		{
			Name: "prove", Usage: "restore the newest snapshot of each database beside the live one, compare and drop it (R9)",
			Flags:  []cli.Flag{&cli.DurationFlag{Name: "since", Usage: "leave out what was proven less than this `DURATION` ago: 168h is a week"}},
			Action: here(notifying(prove)),
		},
		{Name: "backups", Usage: "manage the snapshots that a rollback restores (R9)", Commands: []*cli.Command{
			{
				Name: "list", Usage: "show the snapshots, and which are in use",
				Action: here(backupsList),
			},
			{
				Name: "verify", Usage: "read every file back and compare its hash",
				Action: here(backupsVerify),
			},
			{
				Name: "restore", Usage: "on a new machine: restore the newest snapshot of each database and directory, where nothing is there yet (R15)",
				Action: here(backupsRestore),
			},
			{
				Name: "prune", Usage: "remove old snapshots, never one that a rollback needs",
				Flags: []cli.Flag{keepFlag, youngerFlag, dryRunFlag}, Action: here(backupsPrune),
			},
		}},
		{Name: "copies", Usage: "manage encrypted copies in a second place", Commands: []*cli.Command{
			{
				Name: "run", Usage: "copy what has no copy yet: snapshots, installers, the configuration; verify each there",
				Action: here(copiesRun),
			},
			{
				Name: "verify", Usage: "read every copy back and compare its hash",
				Action: here(copiesVerify),
			},
			{
				Name: "key", Usage: "print the key that shows whose copies they are; keep it with the secret key",
				Action: here(copiesKey),
			},
			{
				Name: "restore", Usage: "on any machine, without a configuration: decrypt all copies into a new directory",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "from", Required: true, Usage: "the `DIRECTORY` with the copies"},
					&cli.StringFlag{Name: "identity", Required: true, Usage: "the `FILE` with the secret key, of age"},
					&cli.StringFlag{Name: "signer", Usage: "the `KEY` that copies key printed on the old machine"},
					&cli.StringFlag{Name: "unsigned", Usage: "without --signer: the `REASON` to restore what anyone may have put there"},
					&cli.StringFlag{Name: "into", Required: true, Usage: "the new `DIRECTORY`"},
				},
				Action: alone(copiesRestore),
			},
		}},
	}
}

// machineCommands returns the commands that have the system start the program.
func machineCommands() []*cli.Command {
	watch := &cli.StringFlag{Name: "watch", Usage: "the configuration `FILE` of the account that watches for releases; without it watch.toml beside the configuration, on Windows in its directory with -watch; if there is none, nothing watches"}
	account := &cli.StringFlag{Name: "account", Usage: "the `NAME` of that account; without it aspupdate, on Windows LOCAL SERVICE"}
	replace := &cli.BoolFlag{Name: "replace", Usage: "also replace or remove what was changed by hand"}
	return []*cli.Command{{
		Name: "service", Usage: "have this machine recover, update, verify and watch by itself: units of systemd, tasks of Windows", Commands: []*cli.Command{
			{
				Name: "install", Usage: "install and start what the configuration needs; remove what it does not need any more",
				Flags:  []cli.Flag{watch, account, replace, &cli.BoolFlag{Name: "print", Usage: "only print what would be written"}},
				Action: onMachine(serviceInstall),
			},
			{
				Name: "remove", Usage: "stop and remove what was installed, and nothing else",
				Flags: []cli.Flag{replace}, Action: onMachine(serviceRemove),
			},
			{
				Name: "status", Usage: "show what is installed, when it ran last and with what result, and when it runs next",
				Flags: []cli.Flag{watch, account}, Action: onMachine(serviceStatus),
			},
		},
	}}
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
		sub.OnUsageError, sub.ShellComplete = onUsageError, complete
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
