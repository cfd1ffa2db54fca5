package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/rollback"
)

func TestVersionHasCommitAndSystem(t *testing.T) {
	code, out, errs := aspupdate(t, nil, "--version")
	require.Zero(t, code, errs)
	require.Regexp(t, `^aspupdate version .*go1.* \w+/\w+\n$`, out)
}

// The state and the next step of an update are lines of their own; the line with
// the cause does not say them again.
func TestCauseIsSaidOnce(t *testing.T) {
	err := error(&rollback.Error{Op: "install", Subject: "АСП", Outcome: rollback.RolledBack, Err: errors.New("exit code 3")})
	require.Equal(t, "install АСП: exit code 3", cause(err))
	require.Contains(t, state(err), "users are let in again")
	err = errors.Join(errors.New("lost"), &rollback.Error{Op: "probe", Outcome: rollback.NeedsOperator, Next: "look at the disk", Err: errors.New("no answer")})
	require.Equal(t, "lost\nprobe: no answer; look at the disk", cause(err))
}

func TestPlanShowsR14FirstAndHowLongUsersAreOut(t *testing.T) {
	var b strings.Builder
	d := planDoc{Plan: rollback.Plan{Hash: "12ab"}, FirstOfYear: true, LongestOut: (2*time.Hour + 23*time.Minute + time.Second).Seconds()}
	d.print(&printer{out: &b})
	require.Equal(t, firstOfYear+"\nplan 12ab\n  users out for at most 2 h 24 min\n", b.String())
	require.Equal(t, "1 h", span(time.Hour))
	require.Equal(t, "59 min", span(59*time.Minute))
	moscow := time.FixedZone("MSK", 3*60*60)
	at := time.Date(2026, 12, 1, 10, 0, 0, 0, moscow)
	doc, err := (&job{Site: emptySite()}).planDoc(&site.Update{}, rollback.Plan{Slot: rollback.Slot{Start: at, LatestStart: at}}, nil)
	require.NoError(t, err)
	require.Equal(t, time.UTC, doc.Slot.Start.Location(), "documents have UTC")
}

func emptySite() *site.Site { return &site.Site{Config: &site.Config{}} }
