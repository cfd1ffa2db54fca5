package schedule

import (
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/aspupdate/aspupdate/version"
)

// take returns what a sequence yields first, at most n.
func take(t testing.TB, n int, seq iter.Seq2[Release, error]) (rs []Release) {
	t.Helper()
	for r, err := range seq {
		require.NoError(t, err)
		rs = append(rs, r)
		if len(rs) == n {
			break
		}
	}
	return rs
}

func texts(rs []Release) (out []string) {
	for _, r := range rs {
		out = append(out, r.String())
	}
	return out
}

func TestR2TheFourExamplesByTheMondayCalendar(t *testing.T) {
	require.Equal(t, []string{
		"7.04.100 due Mon 2019-04-01 20:00 MSK",
		"7.04.200 due Mon 2019-04-15 20:00 MSK",
		"7.05.100 due Mon 2019-05-06 20:00 MSK",
		"7.05.200 due Mon 2019-05-20 20:00 MSK",
	}, texts(take(t, 4, Mondays().From(msk(t, "2019-04-01")))))
}

func TestR1WednesdaysAreTheDefault(t *testing.T) {
	want := []string{
		"7.04.100 due Wed 2019-04-03 20:00 MSK",
		"7.04.200 due Wed 2019-04-17 20:00 MSK",
		"7.05.100 due Wed 2019-05-01 20:00 MSK (public holiday: Spring and Labor Day)",
		"7.05.200 due Wed 2019-05-15 20:00 MSK",
	}
	for _, c := range []Calendar{{}, rule(time.Wednesday)} {
		require.Equal(t, want, texts(take(t, 4, c.From(msk(t, "2019-04-01")))))
		back := texts(take(t, 4, c.Before(msk(t, "2019-05-15 20:00:01"))))
		for i := range want {
			require.Equal(t, want[len(want)-1-i], back[i])
		}
	}
}

func TestR1FromAndBeforePartTime(t *testing.T) {
	due := msk(t, "2026-11-04 20:00")
	require.Equal(t, due, take(t, 1, Calendar{}.From(due))[0].Due)
	require.Equal(t, msk(t, "2026-10-21 20:00"), take(t, 1, Calendar{}.Before(due))[0].Due)
	require.Equal(t, due, take(t, 1, Calendar{}.Before(due.Add(1)))[0].Due)
	require.Equal(t, msk(t, "2026-11-18 20:00"), take(t, 1, Calendar{}.From(due.Add(1)))[0].Due)
}

func TestR1DaysOffAreAChoice(t *testing.T) {
	c := Calendar{}
	c.OnDayOff = NextWorkday
	require.Equal(t, []string{
		"9.13.100 due Mon 2026-01-12 20:00 MSK, moved from 2026-01-07 (public holiday: Orthodox Christmas)",
		"9.13.200 due Wed 2026-01-21 20:00 MSK",
	}, texts(take(t, 2, c.From(msk(t, "2026-01-01")))))
	c.OnDayOff = Skip
	require.Equal(t, []string{
		"9.13.100 due Wed 2026-01-21 20:00 MSK",
		"9.14.100 due Wed 2026-02-04 20:00 MSK",
	}, texts(take(t, 2, c.From(msk(t, "2026-01-01")))))

	// In 2020 three releases were moved to one day, two of them from April.
	c.OnDayOff = NextWorkday
	var got []string
	for _, r := range take(t, 4, c.From(msk(t, "2020-05-01"))) {
		got = append(got, fmt.Sprint(r.Version, " ", DateOf(r.Due)))
	}
	require.Equal(t, []string{"7.16.100 2020-05-12", "7.16.200 2020-05-12", "7.17.100 2020-05-12", "7.17.200 2020-05-20"}, got)
}

// Nearly one release in ten falls on a day off.
func TestR1HowManyReleasesFallOnDaysOff(t *testing.T) {
	for want, c := range map[int]Calendar{19: {}, 22: Mondays()} {
		off := 0
		for _, r := range take(t, 216, c.From(msk(t, "2019-01-01"))) {
			require.NotEqual(t, Unknown, r.Day.Kind)
			if !r.Day.Kind.Working() {
				off++
			}
		}
		require.Equal(t, want, off, c.Weekday)
	}
}

func TestR1BeyondTheDataDatesStayAndMarksAreUnknown(t *testing.T) {
	rs := take(t, 3, Calendar{}.From(msk(t, "2027-12-10")))
	require.Equal(t, Workday, rs[0].Day.Kind)
	require.Equal(t, Unknown, rs[1].Day.Kind)
	require.Equal(t, "10.01.100 due Wed 2028-01-05 20:00 MSK", rs[1].String())
	for _, policy := range []OnDayOff{NextWorkday, Skip} {
		c := Calendar{}
		c.OnDayOff = policy
		n := 0
		for r, err := range c.From(msk(t, "2027-12-10")) {
			if n++; n == 2 {
				require.ErrorIs(t, err, ErrBeyondData)
				require.True(t, r.IsZero())
			}
		}
		require.Equal(t, 2, n, "an error ends it")
	}
}

func TestCalendarOfAnyRule(t *testing.T) {
	c := Calendar{Weekday: time.Friday, Weeks: []int{5}, At: 9*time.Hour + 30*time.Minute, Zone: MSK(4)}
	require.Equal(t, []string{
		"9.13.100 due Fri 2026-01-30 09:30 MSK+4",
		"9.17.100 due Fri 2026-05-29 09:30 MSK+4",
	}, texts(take(t, 2, c.From(msk(t, "2026-01-01")))))
	for _, bad := range []Calendar{
		{Weeks: []int{0}}, {Weeks: []int{3, 1}}, {Weeks: []int{1, 1}}, {Weeks: []int{6}}, {Weeks: []int{1}, Weekday: 7},
		{Weeks: []int{1}, At: 24 * time.Hour}, {Weeks: []int{1}, At: -1}, {OnDayOff: 3}, {Grace: -1},
	} {
		for _, err := range bad.From(msk(t, "2026-01-01")) {
			require.Error(t, err)
		}
		for _, err := range bad.Before(msk(t, "2026-01-01")) {
			require.Error(t, err)
		}
		_, err := bad.Status(msk(t, "2026-01-01"))
		require.Error(t, err)
	}
}

// never is a calendar without working days.
type never struct{}

func (never) Day(Date) (Day, error) { return Day{Kind: Holiday}, nil }

func TestCalendarEndsWithAnError(t *testing.T) {
	for _, policy := range []OnDayOff{Skip, NextWorkday} {
		c := Calendar{Workdays: never{}, OnDayOff: policy}
		n := 0
		for _, err := range c.From(msk(t, "2026-01-01")) {
			require.ErrorIs(t, err, ErrNever)
			n++
		}
		require.Equal(t, 1, n)
	}
	n := 0
	for _, err := range (Calendar{}).Before(msk(t, "2001-02-01")) {
		if n++; n == 3 {
			require.ErrorIs(t, err, ErrBeyondData, "2000 has no X")
		} else {
			require.NoError(t, err)
		}
	}
	require.Equal(t, 3, n)
	for _, err := range (Calendar{}).From(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)) {
		require.ErrorIs(t, err, ErrBeyondData)
	}
	n = 0
	for _, err := range (Calendar{}).From(time.Date(2255, 1, 1, 0, 0, 0, 0, time.UTC)) {
		if n++; err != nil {
			require.ErrorIs(t, err, ErrBeyondData)
		}
	}
	require.Greater(t, n, 24*7000, "the end is the year 9999")
}

func TestR1OrderHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Calendar{
			Weekday: time.Weekday(rapid.IntRange(1, 5).Draw(t, "weekday")), Weeks: rapid.SampledFrom([][]int{{1, 3}, {2}, {2, 4}, {1, 2, 3, 4, 5}}).Draw(t, "weeks"),
			At: time.Duration(rapid.IntRange(0, 23).Draw(t, "hour")) * time.Hour, Zone: MSK(rapid.IntRange(-1, 9).Draw(t, "zone")),
			OnDayOff: OnDayOff(rapid.IntRange(0, 2).Draw(t, "policy")),
		}
		at := time.Date(2019, 8, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 7*366*24*3600).Draw(t, "at")) * time.Second)
		last := at
		var first []Release
		for r, err := range c.From(at) {
			require.NoError(t, err)
			require.False(t, r.Due.Before(last))
			require.True(t, c.OnDayOff == Keep || r.Day.Kind.Working() || DateOf(r.Due).Compare(r.Date) > 0)
			last = r.Due
			if first = append(first, r); len(first) == 6 {
				break
			}
		}
		// Backward from the end comes the same.
		i := len(first)
		for r, err := range c.Before(last.Add(1)) {
			require.NoError(t, err)
			if r.Due.Before(at) {
				break
			}
			if i == len(first) && r != first[i-1] {
				continue // moved to the same moment as the last one
			}
			i--
			require.Equal(t, first[i], r)
		}
		require.Zero(t, i)
	})
}

func TestR5Status(t *testing.T) {
	seen := func(v, at string) Sighting {
		s := Sighting{Version: version.MustParse(v)}
		if at != "" {
			s.Seen = msk(t, at)
		}
		return s
	}
	for _, c := range []struct {
		name string
		now  string
		seen []Sighting
		want State
		// what is missing and since when, if anything is
		missing, since string
	}{
		{"before it is due", "2019-04-17 19:59", []Sighting{seen("7.04.100", "2019-04-03 20:10")}, UpToDate, "", ""},
		{"due", "2019-04-17 20:00", []Sighting{seen("7.04.100", "2019-04-03 20:10")}, Due, "7.04.200", "2019-04-17 20:00"},
		{"the evening's last moment", "2019-04-17 23:59:59.999999999", []Sighting{seen("7.04.100", "2019-04-03 20:10")}, Due, "7.04.200", "2019-04-17 20:00"},
		{"late from midnight on", "2019-04-18 00:00", []Sighting{seen("7.04.100", "2019-04-03 20:10")}, Late, "7.04.200", "2019-04-18 00:00"},
		{"it came late", "2019-04-19 12:00", []Sighting{seen("7.04.200", "2019-04-19 11:00")}, UpToDate, "", ""},
		{"12 h early", "2019-04-18 12:00", []Sighting{seen("7.04.200", "2019-04-17 08:00")}, UpToDate, "", ""},
		{"more than 12 h early was another", "2019-04-18 12:00", []Sighting{seen("7.04.200", "2019-04-17 07:59:59")}, Late, "7.04.200", "2019-04-18 00:00"},
		{"R6: unscheduled, and the scheduled one moved up", "2019-04-18 12:00", []Sighting{seen("7.04.200", "2019-04-10 12:00"), seen("7.04.300", "2019-04-17 20:05")}, UpToDate, "", ""},
		{"R6: unscheduled is no anomaly", "2019-04-10 12:00", []Sighting{seen("7.04.100", "2019-04-03 20:10"), seen("7.04.150", "2019-04-09 12:00")}, UpToDate, "", ""},
		{"300 without a 200", "2019-04-18 12:00", []Sighting{seen("7.04.300", "2019-04-17 20:10")}, UpToDate, "", ""},
		{"time not known: the number counts", "2019-04-18 12:00", []Sighting{seen("7.04.200", "")}, UpToDate, "", ""},
		{"time not known: a later number", "2019-04-18 12:00", []Sighting{seen("7.05.100", "")}, UpToDate, "", ""},
		{"time not known: too small a number", "2019-04-18 12:00", []Sighting{seen("7.04.150", "")}, Late, "7.04.200", "2019-04-18 00:00"},
		{"several are missing: since the first", "2019-06-01 12:00", []Sighting{seen("7.04.100", "2019-04-03 20:10")}, Late, "7.04.200", "2019-04-18 00:00"},
		{"several are missing: by number", "2019-06-01 12:00", []Sighting{seen("7.04.100", "")}, Late, "7.04.200", "2019-04-18 00:00"},
		{"R7: betas do not count", "2019-04-18 12:00", []Sighting{seen("7.04.200-beta", "2019-04-17 20:00"), seen("7.04.100", "2019-04-03 20:10")}, Late, "7.04.200", "2019-04-18 00:00"},
		{"nothing seen", "2019-04-18 12:00", nil, Late, "7.04.200", "2019-04-18 00:00"},
		{"seen later than now", "2019-04-18 12:00", []Sighting{seen("7.04.100", "2019-04-03 20:10"), seen("7.04.200", "2019-04-19 12:00")}, Late, "7.04.200", "2019-04-18 00:00"},
		{"December's number in January", "2020-01-10 12:00", []Sighting{seen("7.12.300", "2020-01-09 12:00")}, UpToDate, "", ""},
		{"a holiday is due all the same", "2019-05-02 00:00", []Sighting{seen("7.04.200", "2019-04-17 20:10")}, Late, "7.05.100", "2019-05-02 00:00"},
		{"beyond the calendar of days", "2028-02-10 00:00", []Sighting{seen("10.01.200", "2028-01-19 20:10")}, Late, "10.02.100", "2028-02-03 00:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Calendar{}.Status(msk(t, c.now), c.seen...)
			require.NoError(t, err)
			require.Equal(t, c.want, s.State, s)
			require.Equal(t, c.want == UpToDate, s.Missing.IsZero())
			require.True(t, s.Next.Due.After(msk(t, c.now)))
			if c.missing != "" {
				require.Equal(t, c.missing, s.Missing.Version.String())
				require.Equal(t, c.since, show(s.Since))
			}
		})
	}

	grace := Calendar{Grace: 36 * time.Hour}
	old := seen("7.04.100", "2019-04-03 20:10")
	s, err := grace.Status(msk(t, "2019-04-19 07:59"), old)
	require.NoError(t, err)
	require.Equal(t, Due, s.State)
	s, err = grace.Status(msk(t, "2019-04-19 08:00"), old)
	require.NoError(t, err)
	require.Equal(t, "late since Fri 2019-04-19 08:00 MSK: 7.04.200 due Wed 2019-04-17 20:00 MSK; "+
		"next: 7.05.100 due Wed 2019-05-01 20:00 MSK (public holiday: Spring and Labor Day)", s.String())

	_, err = Calendar{Numbering: Numbering{Epochs: []Epoch{{X: 7, Year: 2019}}}}.Status(msk(t, "2022-01-20"), old)
	require.ErrorIs(t, err, ErrBeyondData)
}
