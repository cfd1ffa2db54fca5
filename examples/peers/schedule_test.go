package peers_test

import (
	"testing"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/robfig/cron/v3"
	"github.com/stretchr/testify/require"
	"github.com/teambition/rrule-go"

	"github.com/aspupdate/aspupdate/schedule"
)

// moments are the times for which each benchmark finds the next start of support
// hours, with the right answer by the production calendar.
var moments = []struct {
	name, at, want string
	cronKnows      bool // cron has no holidays
}{
	{"SameDay", "2026-11-24 08:15", "2026-11-24 10:00", true},
	{"Weekend", "2026-11-27 19:00", "2026-11-30 10:00", true},
	{"NewYear", "2025-12-30 19:30", "2026-01-12 10:00", false},
}

func moscowTime(tb testing.TB, s string) time.Time {
	tb.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04", s, schedule.MSK(0))
	require.NoError(tb, err)
	return at
}

// rightCal returns rickar/cal with right data and the fastest lookup: its own
// calendar of Russia is wrong on some days of every year.
func rightCal(tb testing.TB) *cal.BusinessCalendar {
	tb.Helper()
	const first, last = 2019, 2027
	var works, short [last - first + 1][367]bool
	for d := schedule.NewDate(first, 1, 1); d != schedule.NewDate(last+1, 1, 1); d = d.AddDays(1) {
		day, err := schedule.Russia().Day(d)
		require.NoError(tb, err)
		at := d.In(time.UTC)
		works[at.Year()-first][at.YearDay()] = day.Kind == schedule.Workday
		short[at.Year()-first][at.YearDay()] = day.Short
	}
	c := cal.NewBusinessCalendar()
	c.SetWorkHours(10*time.Hour, 19*time.Hour)
	c.WorkdayFunc = func(at time.Time) bool { return works[at.Year()-first][at.YearDay()] }
	c.WorkdayEndFunc = func(at time.Time) time.Time {
		year, month, day := at.Date()
		hour := 19
		if short[year-first][at.YearDay()] {
			hour = 18
		}
		return time.Date(year, month, day, hour, 0, 0, 0, at.Location())
	}
	return c
}

// rightRule returns a rule for Monday to Friday with days off as exceptions.
func rightRule(tb testing.TB) *rrule.Set {
	tb.Helper()
	r, err := rrule.NewRRule(rrule.ROption{
		Freq: rrule.DAILY, Dtstart: moscowTime(tb, "2019-01-01 10:00"),
		Byweekday: []rrule.Weekday{rrule.MO, rrule.TU, rrule.WE, rrule.TH, rrule.FR},
	})
	require.NoError(tb, err)
	set := &rrule.Set{}
	set.RRule(r)
	for d := schedule.NewDate(2019, 1, 1); d != schedule.NewDate(2028, 1, 1); d = d.AddDays(1) {
		day, err := schedule.Russia().Day(d)
		require.NoError(tb, err)
		if w := d.Weekday(); !day.Kind.Working() && w != time.Saturday && w != time.Sunday {
			set.ExDate(d.In(schedule.MSK(0)).Add(10 * time.Hour))
		}
	}
	return set
}

func cronRule(tb testing.TB) cron.Schedule {
	tb.Helper()
	s, err := cron.ParseStandard("0 10 * * 1-5")
	require.NoError(tb, err)
	return s
}

// usualEstimate lets the planner do all of its work.
var usualEstimate = schedule.Estimate{Backup: 20 * time.Minute, Checks: 5 * time.Minute, Rollback: 30 * time.Minute}

// TestScheduleDoesTheSameWork checks that all libraries give the same answer,
// except cron over holidays.
func TestScheduleDoesTheSameWork(t *testing.T) {
	c, s, r := cronRule(t), rightCal(t), rightRule(t)
	for _, m := range moments {
		at, want := moscowTime(t, m.at), moscowTime(t, m.want)
		w, err := schedule.Hours{}.Next(at)
		require.NoError(t, err)
		require.True(t, want.Equal(w.Start), m.name)
		slot, err := schedule.Planner{}.Next(at, usualEstimate)
		require.NoError(t, err)
		require.True(t, want.Equal(slot.Start), m.name)
		require.True(t, want.Equal(s.NextWorkdayStart(at)), m.name)
		require.True(t, want.Equal(r.After(at, false)), m.name)
		require.Equal(t, m.cronKnows, want.Equal(c.Next(at)), m.name)
	}
	from, to := moscowTime(t, "2026-01-01 00:00"), moscowTime(t, "2027-01-01 00:00")
	ours, err := schedule.Hours{}.Between(from, to)
	require.NoError(t, err)
	require.Equal(t, ours, s.WorkHoursInRange(from, to))
}

func BenchmarkScheduleNextSameDay(b *testing.B) { benchmarkNext(b, 0) }
func BenchmarkScheduleNextWeekend(b *testing.B) { benchmarkNext(b, 1) }
func BenchmarkScheduleNextNewYear(b *testing.B) { benchmarkNext(b, 2) }

// benchmarkNext finds the next start of support hours.
func benchmarkNext(b *testing.B, moment int) {
	at := moscowTime(b, moments[moment].at)
	b.Run("aspupdate", func(b *testing.B) {
		var hours schedule.Hours
		for b.Loop() {
			if _, err := hours.Next(at); err != nil {
				b.Fatal(err)
			}
		}
	})
	benchmarkOthersNext(b, at)
}

func BenchmarkSchedulePlanSameDay(b *testing.B) { benchmarkPlan(b, 0) }
func BenchmarkSchedulePlanNewYear(b *testing.B) { benchmarkPlan(b, 2) }

// benchmarkPlan finds a slot for a whole update with ours, and the next start of
// support hours with the peers, which have no slots.
func benchmarkPlan(b *testing.B, moment int) {
	at := moscowTime(b, moments[moment].at)
	b.Run("aspupdate", func(b *testing.B) {
		var planner schedule.Planner
		for b.Loop() {
			if _, err := planner.Next(at, usualEstimate); err != nil {
				b.Fatal(err)
			}
		}
	})
	benchmarkOthersNext(b, at)
}

func benchmarkOthersNext(b *testing.B, at time.Time) {
	b.Run("cron", func(b *testing.B) {
		s := cronRule(b)
		for b.Loop() {
			s.Next(at)
		}
	})
	b.Run("cal", func(b *testing.B) {
		c := rightCal(b)
		for b.Loop() {
			c.NextWorkdayStart(at)
		}
	})
	b.Run("rrule", func(b *testing.B) {
		s := rightRule(b)
		for b.Loop() {
			s.After(at, false)
		}
	})
}

func BenchmarkScheduleHoursOfAYear(b *testing.B) {
	from, to := moscowTime(b, "2026-01-01 00:00"), moscowTime(b, "2027-01-01 00:00")
	b.Run("aspupdate", func(b *testing.B) {
		var hours schedule.Hours
		for b.Loop() {
			if _, err := hours.Between(from, to); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cal", func(b *testing.B) {
		c := rightCal(b)
		for b.Loop() {
			c.WorkHoursInRange(from, to)
		}
	})
}
