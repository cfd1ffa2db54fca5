package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

func TestR1R13AgendaOfAMonth(t *testing.T) {
	first, last := schedule.NewDate(2026, 11, 1), schedule.NewDate(2026, 11, 30)
	a, err := schedule.Calendar{}.Agenda(first, last, schedule.Hours{})
	require.NoError(t, err)
	require.Len(t, a.Days, 30)
	require.Len(t, a.Releases, 2)
	require.Equal(t, "9.23.100 due Wed 2026-11-04 20:00 MSK (public holiday: Unity Day)", a.Releases[0].String())
	for _, day := range a.Days {
		next, err := schedule.Hours{}.Next(day.Date.In(schedule.MSK(0)))
		require.NoError(t, err)
		if day.Support.Start.IsZero() {
			require.NotEqual(t, day.Date, schedule.DateOf(next.Start), "%v", day.Date)
			continue
		}
		require.Equal(t, next, day.Support, "as Hours returns it")
	}
	require.Equal(t, 18, a.Days[2].Support.End.Hour(), "R13: an hour shorter before a holiday")

	// A release that is moved counts by the day on which it is due.
	moved := schedule.Calendar{}
	moved.OnDayOff = schedule.NextWorkday
	a, err = moved.Agenda(schedule.NewDate(2026, 11, 5), schedule.NewDate(2026, 11, 5), schedule.Hours{})
	require.NoError(t, err)
	require.Len(t, a.Releases, 1)

	_, err = schedule.Calendar{}.Agenda(schedule.NewDate(2027, 12, 31), schedule.NewDate(2028, 1, 1), schedule.Hours{})
	require.ErrorIs(t, err, schedule.ErrBeyondData)
	_, err = schedule.Calendar{}.Agenda(first, last, schedule.Hours{Open: -1, Close: 1})
	require.Error(t, err)
	a, err = schedule.Calendar{}.Agenda(last, first, schedule.Hours{})
	require.NoError(t, err)
	require.Empty(t, a.Days)
}

// TestR1LooksOftenOnTheEveningOfARelease walks through one: 9.23.200 is due
// on Wednesday, 18 November 2026 at 20:00.
func TestR1LooksOftenOnTheEveningOfARelease(t *testing.T) {
	at := func(day, hour, minute int) time.Time {
		return time.Date(2026, 11, day, hour, minute, 0, 0, schedule.MSK(0))
	}
	before := []schedule.Sighting{{Version: version.MustParse("9.23.100"), Seen: at(4, 20, 5)}}
	after := append([]schedule.Sighting{{Version: version.MustParse("9.23.200"), Seen: at(18, 20, 40)}}, before...)
	far := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		now, want time.Time
		seen      []schedule.Sighting
	}{
		"a day before":       {at(17, 12, 0), at(17, 13, 0), before},
		"soon":               {at(18, 18, 50), at(18, 19, 30), before},
		"about then":         {at(18, 19, 30), at(18, 19, 35), before},
		"due":                {at(18, 22, 0), at(18, 22, 5), before},
		"found":              {at(18, 20, 45), at(18, 21, 45), after},
		"R5 late":            {at(19, 0, 30), at(19, 1, 30), before},
		"beyond the numbers": {far, far.Add(time.Hour), before},
	} {
		got := schedule.Calendar{}.NextCheck(c.now, c.seen...)
		require.True(t, c.want.Equal(got), "%s: %v", name, got)
	}
}

func TestZonesAreReadAsTheyAreWritten(t *testing.T) {
	for hours := -1; hours <= 9; hours++ {
		zone, err := schedule.ParseZone(schedule.MSK(hours).String())
		require.NoError(t, err)
		require.Equal(t, schedule.MSK(hours), zone)
	}
	for _, bad := range []string{"", "MSK-2", "MSK+10", "MSK4", "MSK+", "msk+4", "UTC+3", "MSK+4 ", "MSK++4"} {
		_, err := schedule.ParseZone(bad)
		require.ErrorContains(t, err, "MSK-1 to MSK+9", bad)
	}
}

func ExampleCalendar_Agenda() {
	a, err := schedule.Calendar{}.Agenda(schedule.NewDate(2026, 11, 2), schedule.NewDate(2026, 11, 5), schedule.Hours{})
	for _, d := range a.Days {
		hours := "no support"
		if w := d.Support; !w.Start.IsZero() {
			hours = w.Start.Format("15:04-") + w.End.Format("15:04")
		}
		fmt.Println(d.Date, d.Day, hours)
	}
	fmt.Println(a.Releases, err)
	// Output:
	// 2026-11-02 working day 10:00-19:00
	// 2026-11-03 short working day: eve of Unity Day 10:00-18:00
	// 2026-11-04 public holiday: Unity Day no support
	// 2026-11-05 working day 10:00-19:00
	// [9.23.100 due Wed 2026-11-04 20:00 MSK (public holiday: Unity Day)] <nil>
}
