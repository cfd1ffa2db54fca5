package main

import (
	"cmp"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/internal/site"
)

// The library's script for bash needs the package bash-completion, and runs what stands on the
// command line; that for PowerShell works only from a file of the program's name.
var (
	//go:embed completion/aspupdate.bash
	bashCompletion string
	//go:embed completion/aspupdate.ps1
	powershellCompletion string
)

// completions replaces the scripts of the library that do not work everywhere.
func completions(c *cli.Command) {
	for _, sub := range c.Commands {
		switch sub.Name {
		case "bash":
			sub.Action = script(bashCompletion)
		case "pwsh":
			sub.Name, sub.Aliases, sub.Action = "powershell", []string{"pwsh"}, script(powershellCompletion)
		}
	}
}

func script(text string) cli.ActionFunc {
	return func(_ context.Context, cmd *cli.Command) error {
		_, err := io.WriteString(cmd.Root().Writer, text)
		return err
	}
}

// completionPatience bounds how long a person waits for values: those of --plan need the server.
const completionPatience = 5 * time.Second

// complete prints what may stand next on the command line: the values of the flag before it, or
// else flags, commands and arguments. What cannot be found out is left out.
func complete(ctx context.Context, cmd *cli.Command) {
	args := cmd.Args().Slice() // a flag without its value stands last
	last := ""
	if n := len(args); n > 0 {
		last = args[n-1]
	}
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	name, isFlag := strings.CutPrefix(last, "--")
	switch {
	case isFlag && slices.ContainsFunc(cmd.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) }):
		offer(cmd, values(ctx, cmd, name))
	case strings.HasPrefix(last, "-"):
		cli.DefaultCompleteWithFlags(ctx, cmd)
	case slices.ContainsFunc(cmd.Commands, func(c *cli.Command) bool { return c.Name != "help" }):
		cli.DefaultCompleteWithFlags(ctx, cmd)
	case len(args) == 0:
		offer(cmd, values(ctx, cmd, "argument:"+cmd.Name))
	}
}

// values returns those of a flag, or of "argument:" and a command.
func values(ctx context.Context, cmd *cli.Command, of string) (list []string) {
	file := cmd.String("config")
	if !cmd.IsSet("config") { // the environment is read only before a command runs
		file = cmp.Or(os.Getenv("ASPUPDATE_CONFIG"), file)
	}
	config, _ := site.Load(file)
	if config == nil {
		return nil
	}
	j := &job{cmd: cmd, Site: &site.Site{Config: config, First: cmd.Bool("first-installation"), Offline: cmd.Bool("offline")}}
	ours := func(distribution string) bool {
		return distribution == cmp.Or(cmd.String("distribution"), distribution)
	}
	switch of {
	case "distribution":
		for _, d := range config.Distributions {
			list = append(list, d.Name)
		}
	case "version", "installed":
		items, _ := j.Archive().List()
		for _, it := range items {
			if ours(it.Distribution) && cmd.Name != "import" { // which adds what is not archived
				list = append(list, it.Version.String())
			}
		}
	case "argument:lift":
		st, _ := j.Status()
		for _, q := range st.Quarantined {
			if ours(q.Part) {
				list = append(list, string(q.Release.Version))
			}
		}
	case "argument:forget":
		st, _ := j.Status()
		for _, point := range st.Aside {
			list = append(list, point.Update)
		}
	case "plan", "confirm":
		if hash, err := j.planned(ctx, of); err == nil {
			list = append(list, hash)
		}
	}
	return list
}

// planned returns the hash of the plan that would run now: of an update, or for "confirm" of a
// rollback.
func (j *job) planned(ctx context.Context, of string) (hash string, err error) {
	if j.Version, err = archivedVersion(j.cmd); err != nil {
		return "", err
	}
	if err := j.override(); err != nil {
		return "", err
	}
	if of == "confirm" {
		u, err := j.Revert(ctx)
		if err != nil {
			return "", err
		}
		made, err := u.PlanRevert(ctx)
		return made.Hash, err
	}
	u, err := j.Next(ctx)
	if err != nil {
		return "", err
	}
	made, err := u.Plan(ctx)
	return made.Hash, err
}

// offer prints values, each once. One that a shell could read as something else is left out.
func offer(cmd *cli.Command, list []string) {
	slices.Sort(list)
	for _, value := range slices.Compact(list) {
		harmless := !strings.HasPrefix(value, "-") && !strings.ContainsFunc(value, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" ._-", r)
		})
		if value != "" && harmless {
			_, _ = fmt.Fprintln(cmd.Root().Writer, value)
		}
	}
}
