package site

import (
	"time"

	"github.com/aspupdate/aspupdate/backup/command"
	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// A commandConfig describes data that the operator's own commands back up and
// restore, as package command defines them.
type commandConfig struct {
	Live        string          `toml:"live"`        // the path of a file, or with list, rename and drop the name of a database
	Environment []string        `toml:"environment"` // names of variables of this process that the commands get, also passwords
	Timeout     strict.Duration `toml:"timeout"`     // of each command
	Logs        string          `toml:"logs"`        // the directory for what they print

	Backup   []string `toml:"backup"`
	Verify   []string `toml:"verify"`
	Restore  []string `toml:"restore"`
	Describe []string `toml:"describe"`
	List     []string `toml:"list"`
	Rename   []string `toml:"rename"`
	Drop     []string `toml:"drop"`
}

func (c commandConfig) target() *command.Target {
	env := roles.Environment(c.Environment...)
	cmd := func(argv []string) command.Command {
		return command.Command{Argv: argv, Env: env, Timeout: time.Duration(c.Timeout)}
	}
	return &command.Target{
		Live: c.Live, Logs: c.Logs,
		Commands: command.Commands{
			Backup: cmd(c.Backup), Verify: cmd(c.Verify), Restore: cmd(c.Restore), Describe: cmd(c.Describe),
			List: cmd(c.List), Rename: cmd(c.Rename), Drop: cmd(c.Drop),
		},
	}
}
