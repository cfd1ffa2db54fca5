package site

import (
	"time"

	foreign "github.com/aspupdate/aspupdate/backup/command"
	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/rollback/roles"
)

// commandConfig is data that the operator's own commands back up and restore.
// Each value but live and logs is as package command has it.
type commandConfig struct {
	Live        string          `toml:"live"`        // a file's path, or with list, rename and drop a database's name
	Environment []string        `toml:"environment"` // names of variables that the commands get from ours, passwords too
	Timeout     strict.Duration `toml:"timeout"`     // of each command
	Logs        string          `toml:"logs"`        // a folder for what they print

	Backup   []string `toml:"backup"`
	Verify   []string `toml:"verify"`
	Restore  []string `toml:"restore"`
	Describe []string `toml:"describe"`
	List     []string `toml:"list"`
	Rename   []string `toml:"rename"`
	Drop     []string `toml:"drop"`
}

func (c commandConfig) target() *foreign.Target {
	env := roles.Environment(c.Environment...)
	cmd := func(argv []string) foreign.Command {
		return foreign.Command{Argv: argv, Env: env, Timeout: time.Duration(c.Timeout)}
	}
	return &foreign.Target{
		Live: c.Live, Logs: c.Logs,
		Commands: foreign.Commands{
			Backup: cmd(c.Backup), Verify: cmd(c.Verify), Restore: cmd(c.Restore), Describe: cmd(c.Describe),
			List: cmd(c.List), Rename: cmd(c.Rename), Drop: cmd(c.Drop),
		},
	}
}
