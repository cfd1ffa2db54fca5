package schedule

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// msk reads a time by Moscow's clocks: "2006-01-02 15:04", with seconds if given.
func msk(t testing.TB, s string) time.Time {
	t.Helper()
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05.999999999", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, s, MSK(0)); err == nil {
			return at
		}
	}
	t.Fatalf("cannot read the time %q", s)
	return time.Time{}
}

// show prints a time as msk reads it.
func show(t time.Time) string { return t.In(MSK(0)).Format("2006-01-02 15:04") }

func mustDate(t testing.TB, s string) Date {
	t.Helper()
	d, err := parseDate(s)
	require.NoError(t, err)
	return d
}

func TestDateIsTheSameAsTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "sec"), 0).In(MSK(rapid.IntRange(-1, 9).Draw(t, "zone")))
		y, m, d := at.Date()
		date := DateOf(at)
		if y > 9999 {
			require.True(t, date == (Date{}))
			return
		}
		y2, m2, d2 := date.Date()
		require.Equal(t, []int{y, int(m), d}, []int{y2, int(m2), d2})
		require.Equal(t, at.Weekday(), date.Weekday())
		require.Equal(t, date, NewDate(y, m, d))
		require.Equal(t, at.Format(time.DateOnly), date.String())
		again, err := parseDate(date.String())
		require.NoError(t, err)
		require.Equal(t, date, again)
		require.Equal(t, 0, date.Compare(again))
		require.Equal(t, -1, date.Compare(date.AddDays(1)))
	})
}

func TestDateText(t *testing.T) {
	var d Date
	for _, bad := range []string{"", "2026-02-29", "2026-1-1", "26-01-01", "2026-01-01T00:00:00Z", " 2026-01-01", "0000-01-01", "2026-13-01", "\x00"} {
		_, err := parseDate(bad)
		require.Error(t, err, "%q", bad)
		if bad != "" {
			require.Error(t, d.UnmarshalText([]byte(bad)), "%q", bad)
		}
	}
	b, err := json.Marshal(Period{First: NewDate(2026, 12, 31), Note: "end of year"})
	require.NoError(t, err)
	require.JSONEq(t, `{"first":"2026-12-31","note":"end of year"}`, string(b))
	var p Period
	require.NoError(t, json.Unmarshal(b, &p))
	require.Equal(t, NewDate(2026, 12, 31), p.First)
	require.NoError(t, d.UnmarshalText(nil))
	require.True(t, d == (Date{}))
	require.Equal(t, "no date", d.String())
	require.True(t, NewDate(10000, 1, 1) == (Date{}))
}

func TestMSKNeedsNoDatabase(t *testing.T) {
	at := msk(t, "2026-07-01 12:00")
	require.Equal(t, "12:00 MSK", at.In(MSK(0)).Format("15:04 MST"))
	require.Equal(t, "21:00 MSK+9", at.In(MSK(9)).Format("15:04 MST"))
	require.Equal(t, "11:00 MSK-1", at.In(MSK(-1)).Format("15:04 MST"))
	require.Equal(t, "2026-07-01 09:00", at.UTC().Format("2006-01-02 15:04"))
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"2026-12-31", "2024-02-29", "0001-01-01", "9999-12-31", "2026-02-30", "", "-001-01-01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := parseDate(s)
		if err != nil {
			require.True(t, d == (Date{}))
			return
		}
		require.Equal(t, s, d.String())
	})
}
