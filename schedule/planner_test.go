package schedule

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const minute = time.Minute

// taking is an estimate of so much in all.
func taking(total time.Duration) Estimate {
	return Estimate{Backup: total - 4*time.Nanosecond, Install: 1, Restructuring: 1, Checks: 1, Rollback: 1}
}

func TestR11EstimateIsTheWorstCaseByDefault(t *testing.T) {
	site := Estimate{Backup: 20 * minute, Checks: 5 * minute, Rollback: 30 * minute}
	with := func(change func(*Estimate)) Estimate { e := site; change(&e); return e }
	for name, c := range map[string]struct {
		e    Estimate
		want time.Duration
	}{
		"worst":         {site, (20 + 4 + 120 + 5 + 30) * minute},
		"typical":       {with(func(e *Estimate) { e.Typical = true }), (20 + 4 + 15 + 5 + 30) * minute},
		"given":         {with(func(e *Estimate) { e.Install, e.Restructuring = minute, 40*minute }), (20 + 1 + 40 + 5 + 30) * minute},
		"backup done":   {with(func(e *Estimate) { e.BackupDone = true }), (4 + 120 + 5 + 30) * minute},
		"R14, nothing":  {with(func(e *Estimate) { e.FirstOfYear = true }), 179 * minute},
		"R14, extra":    {with(func(e *Estimate) { e.FirstOfYear, e.FirstOfYearExtra = true, time.Hour }), 239 * minute},
		"R14, not this": {with(func(e *Estimate) { e.FirstOfYearExtra = time.Hour }), 179 * minute},
	} {
		got, err := c.e.Total()
		require.NoError(t, err, name)
		require.Equal(t, c.want, got, name)
	}
}

func TestR13UnknownPartsAreRefused(t *testing.T) {
	for says, e := range map[string]Estimate{
		"backup and checks and rollback": {},
		"time for backup,":               {Checks: 1, Rollback: 1},
		"time for rollback,":             {Backup: 1, Checks: 1},
		"time for checks,":               {BackupDone: true, Rollback: 1},
		"invalid backup of -1ns":         {Backup: -1, Checks: 1, Rollback: 1},
		"install of 1001h0m0s":           {Backup: 1, Checks: 1, Rollback: 1, Install: 1001 * time.Hour},
		"extra of -1ns":                  {Backup: 1, Checks: 1, Rollback: 1, FirstOfYear: true, FirstOfYearExtra: -1},
	} {
		_, err := e.Total()
		require.ErrorIs(t, err, ErrIncomplete)
		require.ErrorContains(t, err, says)
		at := msk(t, "2026-11-24 12:00")
		_, err = Planner{}.Next(at, e)
		require.ErrorIs(t, err, ErrIncomplete)
		_, err = Planner{}.Plan(at, e, 1)
		require.ErrorIs(t, err, ErrIncomplete)
		require.ErrorIs(t, Planner{}.Fits(at, e), ErrIncomplete)
	}
}

func TestR13WindowMustHoldTheWholeUpdate(t *testing.T) {
	e := taking(19 * minute)
	for at, ok := range map[string]bool{
		"2026-11-24 10:00":              true,
		"2026-11-24 09:59:59.999999999": false,
		"2026-11-24 18:41":              true, // ends at 19:00 exactly
		"2026-11-24 18:41:00.000000001": false,
		"2026-11-24 18:55":              false,
		"2026-11-24 19:00":              false,
		"2026-11-03 17:41":              true, // a short day
		"2026-11-03 17:42":              false,
	} {
		err := Planner{}.Fits(msk(t, at), e)
		if ok {
			require.NoError(t, err, at)
		} else {
			require.ErrorIs(t, err, ErrOutside, at)
		}
	}
	s, err := Planner{}.Next(msk(t, "2026-11-24 18:42"), e)
	require.NoError(t, err)
	require.Equal(t, "2026-11-25 10:00", show(s.Start))
	require.Equal(t, "2026-11-25 18:41", show(s.LatestStart))
	require.Equal(t, "2026-11-25 19:00", show(s.End))
	s, err = Planner{}.Next(msk(t, "2026-11-24 18:41"), e)
	require.NoError(t, err)
	require.Equal(t, s.Start, s.LatestStart)
}

func TestR13AReleaseOnWednesdayEveningWaitsForTheNextWorkingDay(t *testing.T) {
	e := Estimate{Backup: 20 * minute, Checks: 5 * minute, Rollback: 30 * minute}
	n := 0
	for r, err := range (Calendar{}).From(msk(t, "2019-01-01")) {
		require.NoError(t, err)
		if r.Due.Year() == 2027 && r.Due.Month() == time.December {
			break
		}
		n++
		s, err := Planner{}.Next(r.Due, e)
		require.NoError(t, err)
		want := r.Date
		for {
			want = want.AddDays(1)
			d, err := Russia().Day(want)
			require.NoError(t, err)
			if d.Kind == Workday {
				break
			}
		}
		require.Equal(t, want.In(MSK(0)).Add(10*time.Hour), s.Start, r)
	}
	require.Equal(t, 214, n)
	s, err := Planner{}.Next(msk(t, "2026-11-18 20:00"), e)
	require.NoError(t, err)
	require.Equal(t, "2026-11-19 10:00", show(s.Start))
}

func reasons(p Plan) (out []string) {
	for _, d := range p.Passed {
		out = append(out, d.String())
	}
	return out
}

func TestR13NewYear(t *testing.T) {
	p, err := Planner{}.Plan(msk(t, "2025-12-30 19:30"), taking(3*time.Hour), 1)
	require.NoError(t, err)
	require.Equal(t, "2026-01-12 10:00", show(p.Slots[0].Start))
	require.Equal(t, []string{
		"2025-12-30: support's hours are over",
		"2025-12-31: moved day off: moved from 2025-01-05 by decree 1335",
		"2026-01-01: public holiday: New Year holidays",
		"2026-01-02: public holiday: New Year holidays",
		"2026-01-03: public holiday: New Year holidays",
		"2026-01-04: public holiday: New Year holidays",
		"2026-01-05: public holiday: New Year holidays",
		"2026-01-06: public holiday: New Year holidays",
		"2026-01-07: public holiday: Orthodox Christmas",
		"2026-01-08: public holiday: New Year holidays",
		"2026-01-09: moved day off: moved from 2026-01-03 by decree 1466",
		"2026-01-10: weekend",
		"2026-01-11: weekend",
	}, reasons(p))
}

func TestR13WorkingSaturdaysByPolicy(t *testing.T) {
	at, e := msk(t, "2024-04-26 18:50"), taking(19*minute)
	p, err := Planner{}.Plan(at, e, 1)
	require.NoError(t, err)
	require.Equal(t, "2024-05-02 10:00", show(p.Slots[0].Start))
	require.Equal(t, []string{
		"2024-04-26: too late in the day (10m free, 19m needed)",
		"2024-04-27: working weekend, which is not a support day: instead of 2024-04-29 by decree 1314",
		"2024-04-28: weekend",
		"2024-04-29: moved day off: moved from 2024-04-27 by decree 1314",
		"2024-04-30: moved day off: moved from 2024-11-02 by decree 1314",
		"2024-05-01: public holiday: Spring and Labor Day",
	}, reasons(p))

	s, err := Planner{Hours: Hours{WorkingSaturdays: true}}.Next(at, e)
	require.NoError(t, err)
	require.Equal(t, "2024-04-27 10:00", show(s.Start))
	require.Equal(t, time.Saturday, s.Start.Weekday())
}

func TestR13ShortDaysPassAnUpdateOver(t *testing.T) {
	p, err := Planner{}.Plan(msk(t, "2026-11-03 08:00"), taking(8*time.Hour+30*minute), 1)
	require.NoError(t, err)
	require.Equal(t, "2026-11-05 10:00", show(p.Slots[0].Start))
	require.Equal(t, []string{
		"2026-11-03: support's hours are too short: eve of Unity Day (8h free, 8h30m needed)",
		"2026-11-04: public holiday: Unity Day",
	}, reasons(p))
}

// Sites from MSK-1 to MSK+9: one window in Moscow, shown by both clocks.
func TestR13SitesFromKaliningradToKamchatka(t *testing.T) {
	for zone := -1; zone <= 9; zone++ {
		p := Planner{Local: MSK(zone)}
		s, err := p.Next(msk(t, "2026-11-24 20:00").In(MSK(zone)), taking(time.Hour))
		require.NoError(t, err)
		require.Equal(t, "2026-11-25 10:00", show(s.Start))
		if zone == 0 {
			require.Equal(t, "start from 2026-11-25 10:00 MSK to 2026-11-25 18:00 MSK", s.String())
		} else {
			require.Contains(t, s.String(), s.Start.In(MSK(zone)).Format("(15:04 MST)"))
		}
	}
	s, err := Planner{Local: MSK(9)}.Next(msk(t, "2026-11-24 20:00"), taking(time.Hour))
	require.NoError(t, err)
	require.Equal(t, "start from 2026-11-25 10:00 MSK (19:00 MSK+9) to 2026-11-25 18:00 MSK (2026-11-26 03:00 MSK+9)", s.String())
}

func TestR12QuietHoursAndBlackoutsOfTheSite(t *testing.T) {
	// Kamchatka: support is there from 19:00 to 04:00 by the site's clocks.
	p := Planner{
		Local:      MSK(9),
		QuietHours: []Daily{{From: hm(20, 0), To: hm(2, 0), Weekdays: []time.Weekday{time.Tuesday, time.Wednesday, time.Thursday}}},
		Blackouts: []Period{
			{First: NewDate(2026, 11, 26), Note: "payments"},
			{First: NewDate(2026, 12, 1), Last: NewDate(2026, 12, 2), Note: "end of month"},
		},
	}
	plan, err := p.Plan(msk(t, "2026-11-25 12:30"), taking(4*time.Hour), 3)
	require.NoError(t, err)
	var got []string
	for _, s := range plan.Slots {
		got = append(got, s.String())
	}
	require.Equal(t, []string{
		"start from 2026-12-03 11:00 MSK (20:00 MSK+9) to 2026-12-03 13:00 MSK (22:00 MSK+9)",
		"start from 2026-12-08 11:00 MSK (20:00 MSK+9) to 2026-12-08 13:00 MSK (22:00 MSK+9)",
		"start from 2026-12-09 11:00 MSK (20:00 MSK+9) to 2026-12-09 13:00 MSK (22:00 MSK+9)",
	}, got)
	require.Equal(t, []string{
		"2026-11-25: too late in the day (2h30m free, 4h needed)", // at midnight at the site Thursday begins
		"2026-11-26: blackout date: payments",
		"2026-11-27: the site's quiet hours leave too little time (0s free, 4h needed)",
		"2026-11-28: weekend",
		"2026-11-29: weekend",
		"2026-11-30: the site's quiet hours leave too little time (0s free, 4h needed)",
		"2026-12-01: blackout date: end of month",
		"2026-12-02: blackout date: end of month",
		"2026-12-04: the site's quiet hours leave too little time (0s free, 4h needed)",
		"2026-12-05: weekend",
		"2026-12-06: weekend",
		"2026-12-07: the site's quiet hours leave too little time (0s free, 4h needed)",
	}, reasons(plan))

	for at, reason := range map[string]reason{
		"2026-12-03 09:00": tooEarly,
		"2026-12-03 10:30": notQuiet,
		"2026-12-03 14:00": tooLate,
		"2026-12-03 19:00": hoursOver,
		"2026-12-01 12:00": inBlackout,
		"2026-12-05 12:00": noSupport,
		"2026-12-31 12:00": noSupport,
		"2027-01-07 12:00": noSupport,
	} {
		err := p.Fits(msk(t, at), taking(4*time.Hour))
		pe, ok := errors.AsType[*Error](err)
		require.True(t, ok, at)
		require.ErrorIs(t, err, ErrOutside)
		require.Equal(t, reason, pe.why.reason, "%s: %v", at, err)
		if reason == noSupport {
			kinds := map[string]Kind{"2026-12-05": Weekend, "2026-12-31": MovedDayOff, "2027-01-07": Holiday}
			require.Equal(t, kinds[at[:10]], pe.why.kind, at)
		}
		require.False(t, pe.Slot.Start.IsZero())
		require.NoError(t, p.Fits(pe.Slot.Start, taking(4*time.Hour)))
		require.NoError(t, p.Fits(pe.Slot.LatestStart, taking(4*time.Hour)))
	}
	require.NoError(t, p.Fits(msk(t, "2026-12-03 11:00"), taking(6*time.Hour)))

	// Several spans that touch are one.
	p = Planner{QuietHours: []Daily{{From: hm(12, 0), To: hm(13, 0)}, {From: hm(13, 0), To: hm(15, 0)}, {From: hm(17, 0), To: hm(23, 0)}}}
	plan, err = p.Plan(msk(t, "2026-11-24 10:00"), taking(2*time.Hour), 3)
	require.NoError(t, err)
	require.Equal(t, "2026-11-24 15:00", show(plan.Slots[0].End))
	require.Equal(t, "2026-11-24 17:00", show(plan.Slots[1].LatestStart))
	require.Equal(t, "2026-11-25 12:00", show(plan.Slots[2].Start))
	require.Empty(t, plan.Passed)
}

func TestFitsSaysWhyAndWhenInstead(t *testing.T) {
	p := Planner{Local: MSK(4)}
	for at, want := range map[string]string{
		"2025-12-30 19:30": "plan an update of 2h30m at 2025-12-30 19:30 MSK (23:30 MSK+4): does not fit into the window: support's hours are over; start at 2026-01-12 10:00 MSK (14:00 MSK+4)",
		"2026-11-24 17:00": "plan an update of 2h30m at 2026-11-24 17:00 MSK (21:00 MSK+4): does not fit into the window: too late in the day (2h free, 2h30m needed); start at 2026-11-25 10:00 MSK (14:00 MSK+4)",
		"2026-11-24 08:00": "plan an update of 2h30m at 2026-11-24 08:00 MSK (12:00 MSK+4): does not fit into the window: support's hours have not begun; start at 2026-11-24 10:00 MSK (14:00 MSK+4)",
	} {
		require.EqualError(t, p.Fits(msk(t, at).UTC(), taking(150*minute)), want)
	}
	night := Planner{Hours: Hours{Open: hm(22, 0), Close: hm(6, 0)}}
	require.ErrorContains(t, night.Fits(msk(t, "2026-11-25 05:30"), taking(time.Hour)), "(30m free, 1h needed)")
	require.ErrorContains(t, night.Fits(msk(t, "2026-11-25 12:00"), taking(time.Hour)), "not begun")
}

func TestR13WhatCanNeverFitIsToldAsSuch(t *testing.T) {
	at := msk(t, "2026-11-24 12:00")
	for name, c := range map[string]struct {
		p       Planner
		need    time.Duration
		longest time.Duration
	}{
		"longer than a day":    {Planner{}, 9*time.Hour + 1, 9 * time.Hour},
		"quiet hours":          {Planner{QuietHours: []Daily{{From: hm(18, 0), To: hm(6, 0)}}}, 61 * minute, time.Hour},
		"never quiet":          {Planner{QuietHours: []Daily{{From: hm(19, 0), To: hm(10, 0)}}}, minute, 0},
		"quiet on Sundays":     {Planner{QuietHours: []Daily{{To: hm(24, 0), Weekdays: []time.Weekday{time.Sunday}}}}, minute, 0},
		"longer than 24 h × 5": {Planner{Hours: Hours{Close: hm(24, 0)}}, 121 * time.Hour, 120 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.p.Next(at, taking(c.need))
			require.ErrorIs(t, err, ErrNever)
			require.NotErrorIs(t, err, ErrOutside)
			pe, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.Equal(t, c.longest, pe.longest)
			require.Contains(t, pe.Subject, "an update of "+short(c.need)+" at ")
			require.ErrorContains(t, err, "never possible: the longest window has")
			_, err = c.p.Plan(at, taking(c.need), 2)
			require.ErrorIs(t, err, ErrNever)
			err = c.p.Fits(at, taking(c.need))
			require.ErrorIs(t, err, ErrNever)
			require.ErrorIs(t, err, ErrOutside)
		})
	}
	require.NoError(t, Planner{}.Fits(msk(t, "2026-11-24 10:00"), taking(9*time.Hour)))

	for name, p := range map[string]Planner{
		"no working day":      {Hours: Hours{Workdays: never{}}},
		"blacked out forever": {Blackouts: []Period{{First: NewDate(1, 1, 1), Last: NewDate(9999, 12, 31)}}, Hours: Hours{Workdays: everyDay{}}},
	} {
		slot, err := p.Next(at, taking(minute))
		require.ErrorIs(t, err, ErrNever, "%s: %v", name, slot)
		require.ErrorContains(t, err, "no window in 400 days is long enough", name)
	}
}

func TestPlannerBeyondTheData(t *testing.T) {
	at := msk(t, "2027-12-30 18:50")
	_, err := Planner{}.Next(at, taking(time.Hour))
	require.ErrorIs(t, err, ErrBeyondData)
	require.ErrorContains(t, err, "load the decree")

	err = Planner{}.Fits(at, taking(time.Hour))
	require.ErrorIs(t, err, ErrOutside, "that much is known")
	require.ErrorIs(t, err, ErrBeyondData)
	pe, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.Equal(t, tooLate, pe.why.reason)
	require.True(t, pe.Slot.Start.IsZero())
	require.NoError(t, Planner{}.Fits(at, taking(10*minute)))

	err = Planner{}.Fits(msk(t, "2028-01-11 12:00"), taking(time.Hour))
	require.ErrorIs(t, err, ErrBeyondData)
	require.NotErrorIs(t, err, ErrOutside, "that is not known")

	plan, err := Planner{}.Plan(msk(t, "2027-12-29 12:00"), taking(time.Hour), 5)
	require.NoError(t, err)
	require.Len(t, plan.Slots, 2)
	require.Len(t, plan.Warnings, 2)
	require.Contains(t, plan.Warnings[0], "ends on 2027-12-31, in 2 days")
	require.Contains(t, plan.Warnings[1], "further slots are unknown")
}

func TestR14PlanCarriesTheWarning(t *testing.T) {
	e := taking(time.Hour)
	e.FirstOfYear = true
	plan, err := Planner{}.Plan(msk(t, "2026-01-12 12:00"), e, 1)
	require.NoError(t, err)
	require.Len(t, plan.Warnings, 1)
	require.Contains(t, plan.Warnings[0], "R14")
	require.Contains(t, plan.Warnings[0], "no extra time")
	e.FirstOfYearExtra = time.Hour
	plan, err = Planner{}.Plan(msk(t, "2026-01-12 12:00"), e, 1)
	require.NoError(t, err)
	require.NotContains(t, plan.Warnings[0], "no extra time")
	need, err := e.Total()
	require.NoError(t, err)
	require.Equal(t, 2*time.Hour, need)
	require.Equal(t, "2026-01-12 17:00", show(plan.Slots[0].LatestStart))
}

func TestPlannerRefusesNonsense(t *testing.T) {
	at := msk(t, "2026-11-24 12:00")
	for _, p := range []Planner{
		{Hours: Hours{Open: -1}},
		{QuietHours: []Daily{{From: -1}}},
		{QuietHours: []Daily{{From: hm(24, 0)}}},
		{QuietHours: []Daily{{To: hm(25, 0)}}},
		{Blackouts: []Period{{}}},
		{Blackouts: []Period{{First: NewDate(2026, 1, 2), Last: NewDate(2026, 1, 1)}}},
	} {
		_, err := p.Next(at, taking(minute))
		require.Error(t, err)
		require.Error(t, p.Fits(at, taking(minute)))
		_, err = p.Plan(at, taking(minute), 1)
		require.Error(t, err)
	}
	far := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	require.ErrorIs(t, Planner{}.Fits(far, taking(minute)), ErrBeyondData)
	_, err := Planner{}.Next(far, taking(minute))
	require.ErrorIs(t, err, ErrBeyondData)
	_, err = Planner{}.Plan(far, taking(minute), 1)
	require.ErrorIs(t, err, ErrBeyondData)
}

// Next, Plan and Fits agree, and a walk through time finds nothing better.
func TestPlannerLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Planner{Hours: drawHours(t), Local: MSK(rapid.IntRange(-1, 9).Draw(t, "local"))}
		for range rapid.IntRange(0, 2).Draw(t, "quiet") {
			p.QuietHours = append(p.QuietHours, Daily{
				From:     time.Duration(rapid.IntRange(0, 23).Draw(t, "qf")) * time.Hour,
				To:       time.Duration(rapid.IntRange(0, 24).Draw(t, "qt")) * time.Hour,
				Weekdays: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Weekday { return time.Weekday(rapid.IntRange(0, 6).Draw(t, "day")) }), 0, 4).Draw(t, "days"),
			})
		}
		from := drawTime(t, "from")
		for range rapid.IntRange(0, 2).Draw(t, "blackouts") {
			first := DateOf(from).AddDays(rapid.IntRange(-3, 10).Draw(t, "first"))
			p.Blackouts = append(p.Blackouts, Period{First: first, Last: first.AddDays(rapid.IntRange(0, 5).Draw(t, "length"))})
		}
		e := taking(time.Duration(rapid.IntRange(1, 40).Draw(t, "need")) * 15 * time.Minute)
		need, err := e.Total()
		require.NoError(t, err)

		// free says, quarter by quarter, what the intersection is.
		free := func(at time.Time) bool {
			in, err := p.Hours.Contains(at)
			require.NoError(t, err)
			local := at.In(p.Local)
			today := DateOf(local)
			for _, b := range p.Blackouts {
				in = in && (today.Compare(b.First) < 0 || today.Compare(b.Last) > 0)
			}
			quiet := len(p.QuietHours) == 0
			for _, q := range p.QuietHours {
				for back := range 2 {
					day := today.AddDays(-back)
					begin, end := day.In(p.Local).Add(q.From), day.In(p.Local).Add(q.To)
					if q.To <= q.From {
						end = end.Add(24 * time.Hour)
					}
					on := len(q.Weekdays) == 0
					for _, w := range q.Weekdays {
						on = on || w == day.Weekday()
					}
					quiet = quiet || on && !at.Before(begin) && at.Before(end)
				}
			}
			return in && quiet
		}
		var want time.Time
		run := time.Duration(0)
		for at := from; at.Before(from.Add(16 * 24 * time.Hour)); at = at.Add(15 * time.Minute) {
			if !free(at) {
				run = 0
				continue
			}
			if run += 15 * time.Minute; run >= need {
				want = at.Add(15*time.Minute - need)
				break
			}
		}

		s, err := p.Next(from, e)
		if err != nil {
			require.True(t, want.IsZero(), "missed %v: %v", want, err)
			require.True(t, errors.Is(err, ErrNever) || errors.Is(err, ErrBeyondData))
			require.Error(t, p.Fits(from, e))
			return
		}
		if !want.IsZero() {
			require.True(t, s.Start.Equal(want), "got %v, want %v", s.Start, want)
		}
		require.Equal(t, s.End, s.LatestStart.Add(need))
		require.NoError(t, p.Fits(s.Start, e))
		require.NoError(t, p.Fits(s.LatestStart, e))
		require.ErrorIs(t, p.Fits(s.LatestStart.Add(1), e), ErrOutside)
		if s.Start.After(from) {
			require.ErrorIs(t, p.Fits(s.Start.Add(-1), e), ErrOutside)
		}
		plan, err := p.Plan(from, e, 2)
		require.NoError(t, err)
		require.Equal(t, s, plan.Slots[0])
		for i, d := range plan.Passed {
			require.NotEmpty(t, d.reason, d)
			require.True(t, i == 0 || plan.Passed[i-1].Date.Compare(d.Date) < 0)
		}
	})
}
