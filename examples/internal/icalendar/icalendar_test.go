package icalendar_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apognu/gocal"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/examples/internal/icalendar"
	"github.com/aspupdate/aspupdate/schedule"
)

// TestWriteReplaces checks that a second import replaces the events of the
// first, and that only a release marks a person as busy.
func TestWriteReplaces(t *testing.T) {
	agenda, err := schedule.Calendar{}.Agenda(schedule.NewDate(2026, 11, 1), schedule.NewDate(2026, 11, 30), schedule.Hours{})
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "asp.ics")
	uids := func(stamp time.Time) (list []string) {
		require.NoError(t, icalendar.Write(file, agenda, stamp, func(s string) string { return s }))
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, strings.Count(string(text), "BEGIN:VEVENT")-2, strings.Count(string(text), "TRANSP:TRANSPARENT"))
		p := gocal.NewParser(strings.NewReader(string(text)))
		from, to := time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)
		p.Start, p.End = &from, &to
		require.NoError(t, p.Parse())
		for _, e := range p.Events {
			list = append(list, e.Uid)
		}
		return list
	}
	first := uids(time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC))
	require.Subset(t, first, []string{"release-9.23.100@aspupdate", "release-9.23.200@aspupdate", "support-2026-11-03@aspupdate", "day-2026-11-04@aspupdate"})
	require.NotContains(t, first, "support-2026-11-04@aspupdate", "R13: a day off")
	require.Equal(t, first, uids(time.Date(2026, 10, 2, 12, 0, 0, 0, time.UTC)))
}
