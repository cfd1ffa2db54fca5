package schedule_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// The month of a version, and whether an update leads into a new year (R14).
func ExampleNumbering() {
	var numbering schedule.Numbering
	year, month, err := numbering.Month(version.MustParse("7.13.100"))
	fmt.Println(month, year, err)

	crosses, err := numbering.CrossesYear(version.MustParse("7.12.200"), version.MustParse("7.14.100"))
	fmt.Println("crosses a year:", crosses, err)

	_, _, err = numbering.Month(version.MustParse("7.37.100"))
	fmt.Println(errors.Is(err, schedule.ErrBeyondData))

	// A certification that slipped by three months.
	numbering.Epochs = []schedule.Epoch{{X: 7, Year: 2019}, {X: 8, Year: 2022, Month: time.April}}
	year, month, err = numbering.Month(version.MustParse("7.37.100"))
	fmt.Println(month, year, err)

	second, err := numbering.Version(2022, time.April, 2)
	fmt.Println(second, err)
	// Output:
	// January 2020 <nil>
	// crosses a year: true <nil>
	// true
	// January 2022 <nil>
	// 8.01.200 <nil>
}

// The next releases, and what becomes of one that falls on a day off.
func ExampleCalendar_From() {
	now := time.Date(2026, 12, 20, 12, 0, 0, 0, schedule.MSK(0))
	calendar := schedule.Calendar{}
	for _, policy := range []schedule.OnDayOff{schedule.Keep, schedule.NextWorkday} {
		calendar.OnDayOff = policy
		n := 0
		for release, err := range calendar.From(now) {
			if err != nil {
				fmt.Println(err)
				break
			}
			fmt.Println(release)
			if n++; n == 2 {
				break
			}
		}
	}
	// Output:
	// 9.25.100 due Wed 2027-01-06 20:00 MSK (public holiday: New Year holidays)
	// 9.25.200 due Wed 2027-01-20 20:00 MSK
	// 9.25.100 due Mon 2027-01-11 20:00 MSK, moved from 2027-01-06 (public holiday: New Year holidays)
	// 9.25.200 due Wed 2027-01-20 20:00 MSK
}

// A vendor with another rule: the second and the fourth Friday at noon in
// Novosibirsk, none on a day off, and late after two days.
func ExampleCalendar() {
	calendar := schedule.Calendar{
		Weekday:  time.Friday,
		Weeks:    []int{2, 4},
		At:       12 * time.Hour,
		Zone:     schedule.MSK(4),
		OnDayOff: schedule.Skip,
		Grace:    48 * time.Hour,
		Numbering: schedule.Numbering{
			Epochs: []schedule.Epoch{{X: 1, Year: 2026, Month: time.June}},
		},
	}
	now := time.Date(2026, 6, 1, 0, 0, 0, 0, schedule.MSK(0))
	for release, err := range calendar.From(now) {
		fmt.Println(release, err)
		if release.Date.Compare(schedule.NewDate(2026, 7, 1)) > 0 {
			break
		}
	}
	// Output:
	// 1.01.100 due Fri 2026-06-26 12:00 MSK+4 <nil>
	// 1.02.100 due Fri 2026-07-10 12:00 MSK+4 <nil>
}

// Is a release late (R5)?
func ExampleCalendar_Status() {
	seen := schedule.Sighting{
		Version: version.MustParse("9.23.100"),
		Seen:    time.Date(2026, 11, 4, 20, 10, 0, 0, schedule.MSK(0)),
	}
	for _, hour := range []int{19, 21, 33} {
		now := time.Date(2026, 11, 18, hour, 0, 0, 0, schedule.MSK(0))
		status, err := schedule.Calendar{}.Status(now, seen)
		if err != nil {
			fmt.Println(err)
			return
		}
		if status.State == schedule.UpToDate || status.State == schedule.Due {
			fmt.Println("nothing to report:", status.State)
		}
		fmt.Println(status)
	}
	// Output:
	// nothing to report: up to date
	// up to date; next: 9.23.200 due Wed 2026-11-18 20:00 MSK
	// nothing to report: due
	// due since Wed 2026-11-18 20:00 MSK: 9.23.200 due Wed 2026-11-18 20:00 MSK; next: 9.24.100 due Wed 2026-12-02 20:00 MSK
	// late since Thu 2026-11-19 00:00 MSK: 9.23.200 due Wed 2026-11-18 20:00 MSK; next: 9.24.100 due Wed 2026-12-02 20:00 MSK
}

// Support hours between two moments, and the moment after so many of them.
func ExampleHours() {
	var hours schedule.Hours
	friday := time.Date(2026, 11, 27, 18, 0, 0, 0, schedule.MSK(0))
	reply, err := hours.Add(friday, 2*time.Hour)
	fmt.Println(reply.Format("Mon 15:04 MST"), err)

	passed, err := hours.Between(friday, friday.AddDate(0, 0, 7))
	fmt.Println(passed, err)

	open, err := hours.Contains(friday.Add(time.Hour))
	fmt.Println(open, err)
	// Output:
	// Mon 11:00 MSK <nil>
	// 45h0m0s <nil>
	// false <nil>
}

// A support with other hours, on working Saturdays too, and not shorter before
// holidays.
func ExampleHours_Next() {
	hours := schedule.Hours{
		Open:             8 * time.Hour,
		Close:            20 * time.Hour,
		Zone:             schedule.MSK(2),
		WorkingSaturdays: true,
		FullShortDays:    true,
	}
	friday := time.Date(2024, 11, 1, 21, 0, 0, 0, schedule.MSK(2))
	window, err := hours.Next(friday)
	fmt.Println(window.Start.Format("Mon 15:04 MST"), window.End.Sub(window.Start), err)
	// Output: Sat 08:00 MSK+2 12h0m0s <nil>
}

// The support's own days off, over Russia's calendar.
type supportDays struct{ schedule.Workdays }

func (s supportDays) Day(date schedule.Date) (schedule.Day, error) {
	day, err := s.Workdays.Day(date)
	if err == nil && day.Kind == schedule.Workday && date == schedule.NewDate(2026, 11, 27) {
		day = schedule.Day{Kind: schedule.DeclaredDayOff, Note: "support moves to another office"}
	}
	return day, err
}

func ExampleWorkdays() {
	days := supportDays{schedule.Russia()}
	for _, d := range []int{26, 27, 28} {
		day, err := days.Day(schedule.NewDate(2026, 11, d))
		switch day.Kind {
		case schedule.Workday:
			fmt.Println(d, "support", err)
		case schedule.Weekend, schedule.WorkingWeekend:
			fmt.Println(d, "no support by R13", err)
		case schedule.Holiday, schedule.MovedDayOff, schedule.DeclaredDayOff:
			fmt.Println(d, day, err)
		case schedule.Unknown:
			fmt.Println(d, "load the decree of the year", err)
		}
	}
	// Output:
	// 26 support <nil>
	// 27 declared day off: support moves to another office <nil>
	// 28 no support by R13 <nil>
}

// What an update needs, in the worst case and usually (R11).
func ExampleEstimate() {
	estimate := schedule.Estimate{
		Backup:        20 * time.Minute,
		Install:       6 * time.Minute,
		Restructuring: 90 * time.Minute,
		Checks:        5 * time.Minute,
		Rollback:      30 * time.Minute,
	}
	fmt.Println(estimate.Total())

	estimate.Install, estimate.Restructuring = 0, 0
	fmt.Println(estimate.Total())
	estimate.Typical = true
	fmt.Println(estimate.Total())

	estimate.Rollback = 0
	_, err := estimate.Total()
	fmt.Println(errors.Is(err, schedule.ErrIncomplete), err)
	// Output:
	// 2h31m0s <nil>
	// 2h59m0s <nil>
	// 1h14m0s <nil>
	// true incomplete estimate; add the time for rollback, as measured or from earlier runs
}

// The next slot for an update, and why it is not sooner.
func ExamplePlanner_Plan() {
	now := time.Date(2026, 10, 30, 10, 0, 0, 0, schedule.MSK(0))
	planner := schedule.Planner{
		Local: schedule.MSK(4), // Novosibirsk
		QuietHours: []schedule.Daily{
			{From: 12 * time.Hour, To: 20 * time.Hour, Weekdays: []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday}},
			{From: 18 * time.Hour, To: 20 * time.Hour, Weekdays: []time.Weekday{time.Friday}},
		},
		Blackouts: []schedule.Period{{First: schedule.NewDate(2026, 11, 2), Last: schedule.NewDate(2026, 11, 3), Note: "monthly payments"}},
	}
	estimate := schedule.Estimate{Backup: 20 * time.Minute, Checks: 5 * time.Minute, Rollback: 30 * time.Minute}
	plan, err := planner.Plan(now, estimate, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, day := range plan.Passed {
		fmt.Println(day)
	}
	fmt.Println(plan.Slots[0], plan.Warnings)
	fmt.Println("the window closes at", plan.Slots[0].End.Format("15:04 MST"))
	// Output:
	// 2026-10-30: the site's quiet hours leave too little time (2h free, 2h59m needed)
	// 2026-10-31: weekend
	// 2026-11-01: weekend
	// 2026-11-02: blackout date: monthly payments
	// 2026-11-03: blackout date: monthly payments
	// 2026-11-04: public holiday: Unity Day
	// start from 2026-11-05 10:00 MSK (14:00 MSK+4) to 2026-11-05 13:01 MSK (17:01 MSK+4) []
	// the window closes at 16:00 MSK
}

// The last check before the installer starts.
func ExamplePlanner_Fits() {
	var planner schedule.Planner
	estimate := schedule.Estimate{Checks: 5 * time.Minute, Rollback: 30 * time.Minute, BackupDone: true}
	now := time.Date(2026, 11, 27, 17, 0, 0, 0, schedule.MSK(0))
	err := planner.Fits(now, estimate)
	if e, ok := errors.AsType[*schedule.Error](err); ok {
		fmt.Println(err)
		fmt.Println(errors.Is(err, schedule.ErrOutside), e.Slot.Start.Sub(now))
	}

	estimate.Restructuring = 24 * time.Hour
	err = planner.Fits(now, estimate)
	if e, ok := errors.AsType[*schedule.Error](err); ok && errors.Is(err, schedule.ErrNever) {
		fmt.Println(e.Next)
	}
	// Output:
	// plan an update of 2h39m at 2026-11-27 17:00 MSK: does not fit into the window: too late in the day (2h free, 2h39m needed); start at 2026-11-30 10:00 MSK
	// true 65h0m0s
	// shorten the update or extend the hours
}
