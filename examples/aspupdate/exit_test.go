package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

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

func TestExitCodeOfAPendingRestart(t *testing.T) {
	err := (&job{show: &printer{}}).ended(rollback.Result{Outcome: rollback.AwaitingReboot}, nil)
	require.Equal(t, exitReboot, exitCode(err))
}
