package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apognu/gocal"
	"github.com/stretchr/testify/require"
)

// TestCalendarFileIsReadByOthers reads what calendar writes with another
// parser than the library that wrote it.
func TestCalendarFileIsReadByOthers(t *testing.T) {
	dir := t.TempDir()
	config, file := filepath.Join(dir, "aspupdate.toml"), filepath.Join(dir, "asp.ics")
	require.NoError(t, os.WriteFile(config, []byte(goodConfig(dir)), 0o600))
	read := func() map[string]gocal.Event {
		code, out, errs := aspupdate(t, []string{"ASPUPDATE_CONFIG=" + config}, "calendar", "--ics", file, "2026-11")
		require.Zero(t, code, errs)
		require.Contains(t, out, "2026-11-01 to 2027-10-31")
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, strings.Count(string(text), "\n"), strings.Count(string(text), "\r\n"), "RFC 5545, 3.1")
		for line := range strings.Lines(string(text)) {
			require.LessOrEqual(t, len(line), 75+2, line)
		}
		p := gocal.NewParser(strings.NewReader(string(text)))
		from, to := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 12, 31, 0, 0, 0, 0, time.UTC)
		p.Start, p.End = &from, &to
		p.Strict = gocal.StrictParams{Mode: gocal.StrictModeFailFeed}
		require.NoError(t, p.Parse())
		events := map[string]gocal.Event{}
		for _, e := range p.Events {
			require.NotContains(t, events, e.Uid)
			events[e.Uid] = e
		}
		require.Len(t, p.Events, strings.Count(string(text), "BEGIN:VEVENT"))
		return events
	}
	events := read()
	require.Less(t, len(events), 70, "the usual support hours are no events: 246 a year hide everything else")
	release := events["release-9.23.100@aspupdate"]
	require.Equal(t, "release 9.23.100 expected, on a day off: public holiday: Unity Day", release.Summary)
	require.Equal(t, time.Date(2026, 11, 4, 17, 0, 0, 0, time.UTC), release.Start.UTC(), "R1: Wednesday, 20:00 in Moscow")
	short := events["support-2026-11-03@aspupdate"]
	require.Equal(t, time.Date(2026, 11, 3, 15, 0, 0, 0, time.UTC), short.End.UTC(), "R13: an hour shorter before a holiday")
	require.NotContains(t, events, "support-2026-11-04@aspupdate")
	off := events["day-2026-11-04@aspupdate"]
	require.Equal(t, "DATE", off.RawStart.Params["VALUE"])
	require.Equal(t, "20261104", off.RawStart.Value)
	require.Equal(t, "20261105", off.RawEnd.Value)

	again := read()
	require.Len(t, again, len(events))
	for uid := range events {
		require.Contains(t, again, uid, "the same events have the same UIDs")
	}
}
