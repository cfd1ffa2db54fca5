package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	foreign "github.com/aspupdate/aspupdate/backup/command"
)

// commandConfig is data that the operator's own commands back up and restore.
// Each value but live and logs is as package command has it.
type commandConfig struct {
	Live        string   `toml:"live"`        // a file's path, or with list, rename and drop a database's name
	Environment []string `toml:"environment"` // names of variables that the commands get from ours, passwords too
	Timeout     duration `toml:"timeout"`     // of each command
	Logs        string   `toml:"logs"`        // a folder for what they print

	Backup   []string `toml:"backup"`
	Verify   []string `toml:"verify"`
	Restore  []string `toml:"restore"`
	Describe []string `toml:"describe"`
	List     []string `toml:"list"`
	Rename   []string `toml:"rename"`
	Drop     []string `toml:"drop"`
}

func (c commandConfig) check() error {
	named := 0
	for _, argv := range [][]string{c.List, c.Rename, c.Drop} {
		if len(argv) > 0 {
			named++
		}
	}
	switch {
	case c.Live == "":
		return errors.New("live is missing: it wants a file's path or a database's name")
	case len(c.Backup) == 0 || len(c.Restore) == 0:
		return errors.New("it wants backup and restore")
	case named != 0 && named != 3:
		return errors.New("list, rename and drop come together")
	case named == 0 && !filepath.IsAbs(c.Live):
		return fmt.Errorf("live = %q: it wants an absolute path, or list, rename and drop for what is no file", c.Live)
	case c.Logs != "" && !filepath.IsAbs(c.Logs):
		return fmt.Errorf("logs = %q: it wants an absolute path", c.Logs)
	}
	return nil
}

func (c commandConfig) target() *foreign.Target {
	env := environment(c.Environment)
	cmd := func(argv []string) foreign.Command {
		return foreign.Command{Argv: argv, Env: env, Timeout: time.Duration(c.Timeout)}
	}
	return &foreign.Target{
		Live: c.Live, Logs: c.Logs,
		Commands: foreign.Commands{Backup: cmd(c.Backup), Verify: cmd(c.Verify), Restore: cmd(c.Restore), Describe: cmd(c.Describe)},
		Names:    foreign.Names{List: cmd(c.List), Rename: cmd(c.Rename), Drop: cmd(c.Drop)},
	}
}
