package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/rollback"
)

func TestHelpListsTheExitCodes(t *testing.T) {
	code, out, _ := aspupdate(t, nil, "--help")
	require.Zero(t, code)
	for code, exit := range exitTable {
		require.Contains(t, out, fmt.Sprintf("%2d  %s", code, exit.meaning))
	}
	code, _, errs := aspupdate(t, nil, "update", "--no-such-flag")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "see --help")
}

func TestNextOfAFullDisk(t *testing.T) {
	interrupted := func(cause error) string {
		return hint(&rollback.Error{Outcome: rollback.Interrupted, Op: "snapshot", Err: &rollback.Error{Op: "write", Subject: "journal.log", Err: cause}})
	}
	require.Equal(t, "aspupdate recover", interrupted(errors.New("input/output error")))
	require.Equal(t, "free space on the disk that the message names, then aspupdate recover", interrupted(&os.PathError{Op: "write", Path: "journal.log", Err: syscall.ENOSPC}))
}

func TestExitCodeOfAPendingRestart(t *testing.T) {
	err := (&job{show: &printer{}}).ended(rollback.Result{Outcome: rollback.AwaitingReboot}, nil)
	require.Equal(t, exitReboot, exitCode(err))
}

// A name may have commas, and a flag is given once for each.
func TestNoFlagIsSplitAtCommas(t *testing.T) {
	lists := 0
	var look func(c *cli.Command)
	look = func(c *cli.Command) {
		for _, f := range c.Flags {
			if _, list := f.(*cli.StringSliceFlag); list {
				lists++
				require.True(t, c.DisableSliceFlagSeparator, "%s %s", c.Name, f.Names())
			}
		}
		for _, sub := range c.Commands {
			look(sub)
		}
	}
	look(app(nil))
	require.Positive(t, lists)
}
