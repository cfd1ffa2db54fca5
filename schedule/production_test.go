package schedule

import (
	"encoding/json"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// published is testdata's production calendar, which two independent publishers
// agree with. Nothing of it is used but for comparing.
type published struct {
	Years map[string]struct {
		DaysOff         []Date `json:"days_off"`
		WorkingWeekends []Date `json:"working_weekends"`
		ShortDays       []Date `json:"short_days"`
		Presidential    []Date `json:"presidential_days_off"`
		Superseded      []Date `json:"superseded_short_days"`
		Transfers       []struct {
			From, To Date
			By       string
		}
		Decree struct {
			Number string
			Date   Date
		}
		WorkingDays          int `json:"working_days"`
		WorkingDaysEffective int `json:"working_days_effective"`
	}
}

func readPublished(t *testing.T) published {
	t.Helper()
	b, err := os.ReadFile("testdata/ru-production-calendar.json")
	require.NoError(t, err)
	var p published
	require.NoError(t, json.Unmarshal(b, &p))
	require.Len(t, p.Years, 9)
	return p
}

func set(dates ...[]Date) map[Date]bool {
	m := map[Date]bool{}
	for _, ds := range dates {
		for _, d := range ds {
			m[d] = true
		}
	}
	return m
}

func TestR13DerivedCalendarIsThePublishedOne(t *testing.T) {
	days, wrong := 0, 0
	asPlanned := planned(Russia())
	for name, y := range readPublished(t).Years {
		year, err := strconv.Atoi(name)
		require.NoError(t, err)
		off, short := set(y.DaysOff), set(y.ShortDays)
		working, president, planned := set(y.WorkingWeekends), set(y.Presidential), set(y.ShortDays, y.Superseded)
		transfers := map[Date]Date{}
		for _, tr := range y.Transfers {
			transfers[tr.To] = tr.From
		}
		for d := NewDate(year, 1, 1); d != NewDate(year+1, 1, 1); d = d.AddDays(1) {
			days++
			got, err := Russia().Day(d)
			require.NoError(t, err)
			works := working[d] || !weekend(d) && !off[d]
			if got.Kind.Working() != works || got.Short != short[d] {
				wrong++
				t.Errorf("%v: %v, published: works %v, short %v", d, got, works, short[d])
			}
			if (got.Kind == WorkingWeekend) != working[d] || (got.Kind == DeclaredDayOff) != president[d] {
				wrong++
				t.Errorf("%v: %v", d, got)
			}
			if from, moved := transfers[d]; moved != (got.Kind == MovedDayOff) || moved && !strings.Contains(got.Note, from.String()) {
				wrong++
				t.Errorf("%v: %v, published: moved from %v", d, got, from)
			}

			plan, err := asPlanned.Day(d)
			require.NoError(t, err)
			if plan.Kind.Working() != (works || president[d]) || plan.Short != planned[d] {
				wrong++
				t.Errorf("%v: planned %v", d, plan)
			}
		}
		n, _, err := norm(asPlanned, year)
		require.NoError(t, err)
		require.Equal(t, y.WorkingDays, n, year)
		n, _, err = norm(Russia(), year)
		require.NoError(t, err)
		require.Equal(t, y.WorkingDaysEffective, n, year)

		decree := russianDecrees()[year-2019]
		require.Equal(t, year, decree.Year)
		require.Equal(t, y.Decree.Number, decree.Number)
		require.Equal(t, y.Decree.Date, decree.Signed)
		moved := 0
		for _, tr := range y.Transfers {
			if tr.By == "decree" {
				moved++
				require.Contains(t, decree.Moves, move{tr.From, tr.To})
			}
		}
		require.Len(t, decree.Moves, moved)
		require.NoError(t, decree.check())
	}
	require.Equal(t, 3287, days)
	require.Zero(t, wrong)
}

// norm returns how many working days and hours a year has, at 40 hours a week.
func norm(c *Production, year int) (days, hours int, err error) {
	for d := NewDate(year, 1, 1); days == 0 || d != NewDate(year+1, 1, 1); d = d.AddDays(1) {
		day, err := c.Day(d)
		if err != nil {
			return 0, 0, err
		}
		if day.Kind.Working() {
			days, hours = days+1, hours+8
		}
		if day.Short {
			hours--
		}
	}
	return days, hours, nil
}

// planned returns the calendar without the days that were declared off.
func planned(c *Production) *Production { return derive(c.decrees, nil) }

func TestNorms(t *testing.T) {
	for year, want := range map[int]int{2019: 1970, 2020: 1979, 2021: 1972, 2022: 1973, 2023: 1973, 2024: 1979, 2025: 1972, 2026: 1972, 2027: 1972} {
		_, hours, err := norm(planned(Russia()), year)
		require.NoError(t, err)
		require.Equal(t, want, hours, year)
	}
	days, hours, err := norm(Russia(), 2020)
	require.NoError(t, err)
	require.Equal(t, 219, days)
	require.Equal(t, 219*8-3, hours)
	for _, year := range []int{2018, 2028, 0, 1 << 40} {
		_, _, err := norm(Russia(), year)
		require.ErrorIs(t, err, ErrBeyondData)
	}
}

func TestDaysSayWhy(t *testing.T) {
	for date, want := range map[string]string{
		"2026-01-07": "public holiday: Orthodox Christmas",
		"2026-01-09": "moved day off: moved from 2026-01-03 by decree 1466",
		"2026-03-09": "moved day off: moved from 2026-03-08, International Women's Day",
		"2026-05-08": "short working day: eve of Victory Day",
		"2024-11-02": "short working weekend: instead of 2024-04-30 by decree 1314, eve of Spring and Labor Day",
		"2024-04-27": "working weekend: instead of 2024-04-29 by decree 1314",
		"2020-04-06": "declared day off: president's decree 239",
		"2026-11-24": "working day",
		"2026-11-28": "weekend",
	} {
		d, err := Russia().Day(mustDate(t, date))
		require.NoError(t, err)
		require.Equal(t, want, d.String(), date)
	}
}

func TestBeyondTheDataNothingIsGuessed(t *testing.T) {
	for _, d := range []Date{NewDate(2018, 12, 31), NewDate(2028, 1, 1), NewDate(9999, 12, 31), {}} {
		day, err := Russia().Day(d)
		require.ErrorIs(t, err, ErrBeyondData)
		require.Equal(t, Unknown, day.Kind)
	}
	require.ErrorContains(t, errors.Join(func() error { _, err := Russia().Day(NewDate(2028, 1, 10)); return err }()),
		"load the decree of that year")
	_, err := new(Production).Day(NewDate(2026, 1, 1))
	require.ErrorIs(t, err, ErrBeyondData)
}

func TestWarningFrom90DaysBeforeTheEnd(t *testing.T) {
	c := Russia()
	require.Equal(t, NewDate(2027, 12, 31), c.Last())
	require.Empty(t, c.Warning(msk(t, "2027-10-01 23:59:59")))
	require.Contains(t, c.Warning(msk(t, "2027-10-02 00:00")), "in 90 days")
	require.Contains(t, c.Warning(msk(t, "2027-10-02 00:00").In(time.UTC)), "in 90 days", "by Moscow's date")
	require.Contains(t, c.Warning(msk(t, "2027-12-31 23:59")), "in 0 days")
	require.Contains(t, c.Warning(msk(t, "2028-01-01 00:00")), "ended")
}

const decree2028 = `{
  "decrees": [{"year": 2028, "number": "1200", "signed": "2027-09-15",
    "moves": [{"from": "2028-01-08", "to": "2028-05-02"}, {"from": "2028-02-19", "to": "2028-02-22"}]}],
  "days_off": [{"first": "2028-03-06", "last": "2028-03-07", "note": "support moves house"}, {"first": "2028-07-03", "note": "a day"}]
}`

func TestNextYearIsLoadedFromAFile(t *testing.T) {
	c, err := Russia().Load(strings.NewReader(decree2028))
	require.NoError(t, err)
	for date, want := range map[string]string{
		"2028-02-19": "short working weekend: instead of 2028-02-22 by decree 1200, eve of Defender of the Fatherland Day",
		"2028-02-22": "moved day off: moved from 2028-02-19 by decree 1200",
		"2028-05-02": "moved day off: moved from 2028-01-08 by decree 1200",
		"2028-03-07": "declared day off: support moves house",
		"2028-07-03": "declared day off: a day",
		"2028-11-06": "moved day off: moved from 2028-11-04, Unity Day",
		"2027-12-30": "working day",
		"2028-12-29": "working day",
	} {
		d, err := c.Day(mustDate(t, date))
		require.NoError(t, err)
		require.Equal(t, want, d.String(), date)
	}
	require.Equal(t, NewDate(2028, 12, 31), c.Last())
	require.Equal(t, NewDate(2027, 12, 31), Russia().Last(), "the embedded one stays as it is")
	require.Empty(t, c.Warning(msk(t, "2027-12-31 12:00")))
	require.Contains(t, c.String(), "1200")

	amended, err := c.withDecrees(decree{Year: 2028, Number: "1201", Moves: []move{{NewDate(2028, 1, 8), NewDate(2028, 5, 3)}}})
	require.NoError(t, err)
	d, err := amended.Day(NewDate(2028, 5, 2))
	require.NoError(t, err)
	require.Equal(t, Workday, d.Kind)
}

func TestLoadRefusesWhatIsWrong(t *testing.T) {
	move := func(year int, from, to string) string {
		return `{"decrees": [{"year": ` + strconv.Itoa(year) + `, "number": "1", "moves": [{"from": "` + from + `", "to": "` + to + `"}]}]}`
	}
	for name, c := range map[string]struct{ file, says string }{
		"empty":            {"", "EOF"},
		"no JSON":          {"decrees:", "cannot read decrees"},
		"unknown key":      {`{"decree": []}`, "unknown field"},
		"two values":       {`{} {}`, "data after the end"},
		"wrong type":       {`{"decrees": [{"year": "2028"}]}`, "cannot read decrees"},
		"date":             {move(2028, "2028-02-30", "2028-05-02"), "2026-12-31"},
		"gap":              {move(2029, "2029-01-06", "2029-05-02"), "2027 and 2029"},
		"no moves":         {`{"decrees": [{"year": 2028}]}`, "has no moves"},
		"null moves":       {`{"decrees": [{"year": 2028, "moves": null}]}`, "has no moves"},
		"known year bare":  {`{"decrees": [{"year": 2027}]}`, "has no moves"},
		"year":             {`{"decrees": [{"year": 0}]}`, "invalid year"},
		"other year":       {move(2028, "2027-01-02", "2028-05-02"), "in the year"},
		"missing":          {move(2028, "2028-01-08", ""), "in the year"},
		"from working day": {move(2028, "2028-01-10", "2028-05-02"), "Saturday"},
		"to weekend":       {move(2028, "2028-01-08", "2028-05-06"), "working day"},
		"to holiday":       {move(2028, "2028-01-08", "2028-05-09"), "working day"},
		"backward":         {`{"days_off": [{"first": "2027-03-02", "last": "2027-03-01", "note": "x"}]}`, "no days"},
		"no first day":     {`{"days_off": [{"note": "x"}]}`, "no days"},
		"huge":             {`{"decrees": [` + strings.Repeat(" ", 2<<20) + `]}`, "larger than"},
		"twice": {`{"decrees": [{"year": 2028, "moves": [{"from": "2028-01-08", "to": "2028-05-02"},
			{"from": "2028-01-08", "to": "2028-05-03"}]}]}`, "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Russia().Load(strings.NewReader(c.file))
			require.ErrorContains(t, err, c.says)
			require.Nil(t, got)
		})
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(decree2028)
	f.Add(`{}`)
	f.Add(`{"decrees":[{"year":2027,"moves":[{"from":"2027-02-20","to":"2027-02-22"}]}],"days_off":[{"first":"9999-12-31"}]}`)
	f.Add(`{"days_off":[{"first":"0001-01-01","last":"9999-12-31"}]}`)
	f.Fuzz(func(t *testing.T, s string) {
		c, err := Russia().Load(strings.NewReader(s))
		if err != nil {
			require.Nil(t, c)
			return
		}
		for d := NewDate(2027, 1, 1); d != c.Last(); d = d.AddDays(1) {
			day, err := c.Day(d)
			require.NoError(t, err)
			require.NotEqual(t, Unknown, day.Kind)
			require.False(t, day.Short && !day.Kind.Working())
		}
	})
}
