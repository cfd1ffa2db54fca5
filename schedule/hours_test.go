package schedule

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
	"pgregory.net/rapid"
)

func hm(h, m int) time.Duration { return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute }

func TestR13HoursAreHalfOpen(t *testing.T) {
	for at, want := range map[string]bool{
		"2026-11-24 09:59:59.999999999": false,
		"2026-11-24 10:00":              true,
		"2026-11-24 18:59:59.999":       true,
		"2026-11-24 18:59:59.999999999": true,
		"2026-11-24 19:00":              false,
		"2026-11-28 12:00":              false, // Saturday
		"2026-11-29 12:00":              false,
		"2026-11-04 12:00":              false, // Unity Day
		"2026-11-03 17:59:59.999":       true,  // its eve is an hour shorter
		"2026-11-03 18:00":              false,
		"2024-04-27 12:00":              false, // a working Saturday
		"2020-04-06 12:00":              false, // the president's decree
		"2027-12-31 12:00":              false, // the last day of the data, and off
	} {
		for _, zone := range []*time.Location{MSK(0), time.UTC, MSK(9), MSK(-1), time.FixedZone("", -11*3600)} {
			got, err := Hours{}.Contains(msk(t, at).In(zone))
			require.NoError(t, err)
			require.Equal(t, want, got, at)
		}
	}
	got, err := Hours{WorkingSaturdays: true}.Contains(msk(t, "2024-04-27 12:00"))
	require.NoError(t, err)
	require.True(t, got)
	got, err = Hours{FullShortDays: true}.Contains(msk(t, "2026-11-03 18:30"))
	require.NoError(t, err)
	require.True(t, got)
	got, err = Hours{WorkingSaturdays: true}.Contains(msk(t, "2024-11-02 18:00"))
	require.NoError(t, err)
	require.False(t, got, "a working Saturday that is as short as the day it stands for")
}

func TestHoursNext(t *testing.T) {
	night := Hours{Open: hm(22, 0), Close: hm(6, 0)}
	whole := Hours{Open: 0, Close: hm(24, 0)}
	eight := Hours{Open: hm(8, 0), Close: hm(8, 0)}
	for _, c := range []struct {
		name       string
		h          Hours
		at         string
		start, end string
	}{
		{"inside", Hours{}, "2026-11-24 12:34:56.7", "2026-11-24 12:34", "2026-11-24 19:00"},
		{"before", Hours{}, "2026-11-24 09:00", "2026-11-24 10:00", "2026-11-24 19:00"},
		{"closing", Hours{}, "2026-11-24 19:00", "2026-11-25 10:00", "2026-11-25 19:00"},
		{"weekend", Hours{}, "2026-11-27 19:00", "2026-11-30 10:00", "2026-11-30 19:00"},
		{"new year", Hours{}, "2025-12-30 19:30", "2026-01-12 10:00", "2026-01-12 19:00"},
		{"short day", Hours{}, "2026-11-03 10:00", "2026-11-03 10:00", "2026-11-03 18:00"},
		{"2020", Hours{}, "2020-03-27 19:00", "2020-05-12 10:00", "2020-05-12 19:00"},
		{"2020 as planned", Hours{Workdays: planned(Russia())}, "2020-03-27 19:00", "2020-03-30 10:00", "2020-03-30 19:00"},
		{"night, tonight", night, "2026-11-24 12:00", "2026-11-24 22:00", "2026-11-25 06:00"},
		{"night, after midnight", night, "2026-11-25 03:00", "2026-11-25 03:00", "2026-11-25 06:00"},
		{"night of Friday", night, "2026-11-28 03:00", "2026-11-28 03:00", "2026-11-28 06:00"},
		{"night of Saturday is none", night, "2026-11-29 03:00", "2026-11-30 22:00", "2026-12-01 06:00"},
		{"a short day's night", night, "2026-11-04 04:30", "2026-11-04 04:30", "2026-11-04 05:00"},
		{"sub-hour", Hours{Open: hm(10, 0), Close: hm(10, 20)}, "2026-11-24 10:19", "2026-11-24 10:19", "2026-11-24 10:20"},
		{"sub-hour, short day has none", Hours{Open: hm(10, 0), Close: hm(10, 20)}, "2026-11-03 10:00", "2026-11-05 10:00", "2026-11-05 10:20"},
		{"24 h", whole, "2026-11-24 12:00", "2026-11-24 12:00", "2026-11-28 00:00"},
		{"24 h, up to a weekend", whole, "2026-11-29 12:00", "2026-11-30 00:00", "2026-12-05 00:00"},
		{"24 h, up to a short day's end", whole, "2026-11-02 12:00", "2026-11-02 12:00", "2026-11-03 23:00"},
		{"24 h from 8", eight, "2026-11-24 03:00", "2026-11-24 03:00", "2026-11-28 08:00"},
		{"24 h up to the end of the data", whole, "2027-12-30 12:00", "2027-12-30 12:00", "2027-12-31 00:00"},
		{"site's own zone", Hours{Zone: MSK(9), Open: hm(9, 0), Close: hm(18, 0)}, "2026-11-24 12:00", "2026-11-25 00:00", "2026-11-25 09:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, err := c.h.Next(msk(t, c.at).In(time.UTC))
			require.NoError(t, err)
			require.Equal(t, c.start, show(w.Start))
			require.Equal(t, c.end, show(w.End))
			in, err := c.h.Contains(w.Start)
			require.NoError(t, err)
			require.True(t, in)
			in, err = c.h.Contains(w.End.Add(-1))
			require.NoError(t, err)
			require.True(t, in)
		})
	}
}

func TestHoursEndWithAnError(t *testing.T) {
	for at, h := range map[string]Hours{
		"2027-12-30 19:00": {},
		"2028-01-10 12:00": {},
		"2018-12-31 12:00": {},
		"2019-01-01 03:00": {Open: hm(22, 0), Close: hm(6, 0)}, // what was the last day of 2018?
		"2026-01-01 12:00": {Workdays: new(Production)},
	} {
		_, err := h.Next(msk(t, at))
		require.ErrorIs(t, err, ErrBeyondData, at)
	}
	_, err := Hours{Open: hm(22, 0), Close: hm(6, 0)}.Contains(msk(t, "2019-01-01 06:00"))
	require.NoError(t, err)
	for _, at := range []time.Time{time.Unix(math.MaxInt64/4, 0), time.Unix(math.MinInt64/4, 0), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		_, err := Hours{}.Next(at)
		require.ErrorIs(t, err, ErrBeyondData)
		_, err = Hours{}.Contains(at)
		require.ErrorIs(t, err, ErrBeyondData)
		_, err = Hours{}.Between(at, at)
		require.ErrorIs(t, err, ErrBeyondData)
		_, err = Hours{}.Add(at, 0)
		require.ErrorIs(t, err, ErrBeyondData)
	}
	for _, at := range []string{"2026-01-01", "2254-01-01", "1700-01-01"} {
		_, err = Hours{Workdays: never{}}.Next(msk(t, at))
		require.ErrorIs(t, err, ErrNever)
	}
	_, err = Hours{Workdays: unknown{}}.Next(msk(t, "2026-01-01"))
	require.ErrorIs(t, err, ErrBeyondData)
	_, err = Hours{Workdays: shortOnly{}, Open: hm(10, 0), Close: hm(10, 30)}.Next(msk(t, "2026-01-01"))
	require.ErrorIs(t, err, ErrNever)
	for _, h := range []Hours{{Open: -1}, {Open: hm(24, 0), Close: hm(3, 0)}, {Open: 1, Close: hm(25, 0)}, {Open: 1, Close: -1}} {
		_, err := h.Next(msk(t, "2026-01-01"))
		require.ErrorContains(t, err, "invalid hours")
	}
	_, err = Hours{}.Add(msk(t, "2026-01-01"), -1)
	require.ErrorContains(t, err, "Between")
}

type unknown struct{}

func (unknown) Day(Date) (Day, error) { return Day{}, nil }

type shortOnly struct{}

func (shortOnly) Day(Date) (Day, error) { return Day{Kind: Workday, Short: true}, nil }

func TestSupportTimeArithmetic(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     time.Duration
	}{
		{"2026-11-27 18:00", "2026-11-30 11:00", 2 * time.Hour},
		{"2026-11-28 00:00", "2026-11-30 00:00", 0},
		{"2026-11-24 12:00", "2026-11-24 12:20", 20 * time.Minute},
		{"2026-11-24 00:00", "2026-11-25 00:00", 9 * time.Hour},
		{"2026-11-03 00:00", "2026-11-05 00:00", 8 * time.Hour},
		{"2026-01-01 00:00", "2027-01-01 00:00", 247*9*time.Hour - 4*time.Hour},
		{"2024-01-01 00:00", "2025-01-01 00:00", 245*9*time.Hour - 4*time.Hour}, // without three Saturdays, one of them short
	} {
		got, err := Hours{}.Between(msk(t, c.from), msk(t, c.to))
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%s to %s", c.from, c.to)
		back, err := Hours{}.Between(msk(t, c.to), msk(t, c.from))
		require.NoError(t, err)
		require.Equal(t, -c.want, back)
	}
	at, err := Hours{}.Add(msk(t, "2026-11-27 18:00"), 2*time.Hour)
	require.NoError(t, err)
	require.Equal(t, "2026-11-30 11:00", show(at))
	at, err = Hours{}.Add(msk(t, "2026-11-28 18:00"), 0)
	require.NoError(t, err)
	require.Equal(t, "2026-11-30 10:00", show(at))
	at, err = Hours{}.Add(msk(t, "2026-11-27 18:00"), time.Hour)
	require.NoError(t, err)
	require.Equal(t, "2026-11-27 19:00", show(at))
	_, err = Hours{}.Add(msk(t, "2026-11-27 18:00"), 10000*time.Hour)
	require.ErrorIs(t, err, ErrBeyondData)
	_, err = Hours{}.Between(msk(t, "2027-12-01"), msk(t, "2028-03-01"))
	require.ErrorIs(t, err, ErrBeyondData)
}

// plain hides what a calendar is, so that days are visited one by one.
type plain struct{ Workdays }

func drawHours(t *rapid.T) Hours {
	return Hours{
		Open:             time.Duration(rapid.IntRange(0, 95).Draw(t, "open")) * 15 * time.Minute,
		Close:            time.Duration(rapid.IntRange(0, 96).Draw(t, "close")) * 15 * time.Minute,
		WorkingSaturdays: rapid.Bool().Draw(t, "saturdays"),
		FullShortDays:    rapid.Bool().Draw(t, "full"),
	}
}

func drawTime(t *rapid.T, name string) time.Time {
	from := time.Date(2019, 1, 3, 0, 0, 0, 0, time.UTC)
	return from.Add(time.Duration(rapid.Int64Range(0, 8*365*24*4).Draw(t, name)) * 15 * time.Minute)
}

// The quick ways return what a walk through the days returns, minute by minute.
func TestHoursAgreeWithTheSlowWay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHours(t)
		slow := h
		slow.Workdays = plain{Russia()}
		from := drawTime(t, "from")
		to := from.Add(time.Duration(rapid.Int64Range(0, 40*24*4).Draw(t, "to")) * 15 * time.Minute)

		sum := time.Duration(0)
		var first time.Time
		for at := from; at.Before(to); at = at.Add(15 * time.Minute) {
			in, err := h.Contains(at)
			require.NoError(t, err)
			if in {
				sum += 15 * time.Minute
				if first.IsZero() {
					first = at
				}
			}
		}
		for _, h := range []Hours{h, slow} {
			got, err := h.Between(from, to)
			require.NoError(t, err)
			require.Equal(t, sum, got)
			w, err := h.Next(from)
			if !first.IsZero() {
				require.NoError(t, err)
				require.True(t, w.Start.Equal(first))
				in, err := h.Contains(w.End)
				require.NoError(t, err)
				require.False(t, in, "a window goes on until there is no more support")
				at, err := h.Add(from, sum)
				require.NoError(t, err)
				again, err := h.Between(from, at)
				require.NoError(t, err)
				require.Equal(t, sum, again)
			}
		}
	})
}

// A zone with summer time: hours go by the clocks on the wall.
func TestHoursInAZoneWithSummerTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		realtest.Skip(t, "no time zone database: %v", err)
	}
	night := Hours{Open: hm(22, 0), Close: hm(6, 0), Zone: berlin, Workdays: everyDay{}}
	for date, want := range map[string]time.Duration{"2026-03-28": 7 * time.Hour, "2026-10-24": 9 * time.Hour, "2026-06-01": 8 * time.Hour} {
		d := mustDate(t, date)
		got, err := night.Between(d.In(berlin).Add(12*time.Hour), d.AddDays(1).In(berlin).Add(12*time.Hour))
		require.NoError(t, err)
		require.Equal(t, want, got, date)
	}
	day := Hours{Close: hm(24, 0), Zone: berlin, Workdays: everyDay{}}
	w, err := day.Next(mustDate(t, "2026-03-28").In(berlin))
	require.NoError(t, err)
	require.Greater(t, w.End.Sub(w.Start), 300*24*time.Hour, "touching windows are one, over both changes")
}

type everyDay struct{}

func (everyDay) Day(Date) (Day, error) { return Day{Kind: Workday}, nil }
