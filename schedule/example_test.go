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
	// Output:
	// January 2020 <nil>
	// crosses a year: true <nil>
	// true
	// January 2022 <nil>
}

// The next releases, and what becomes of one that falls on a day off.
func ExampleCalendar_From() {
	now := time.Date(2026, 12, 20, 12, 0, 0, 0, schedule.MSK(0))
	calendar := schedule.Wednesdays()
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

// Is a release late (R5)?
func ExampleCalendar_Status() {
	seen := schedule.Sighting{
		Version: version.MustParse("9.23.100"),
		Seen:    time.Date(2026, 11, 4, 20, 10, 0, 0, schedule.MSK(0)),
	}
	for _, hour := range []int{19, 21, 33} {
		now := time.Date(2026, 11, 18, hour, 0, 0, 0, schedule.MSK(0))
		status, err := schedule.Wednesdays().Status(now, seen)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(status)
	}
	// Output:
	// up to date; next: 9.23.200 due Wed 2026-11-18 20:00 MSK
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
	// Output:
	// Mon 11:00 MSK <nil>
	// 45h0m0s <nil>
}

// The next slot for an update, and why it is not sooner.
func ExamplePlanner_Plan() {
	now := time.Date(2026, 10, 30, 18, 0, 0, 0, schedule.MSK(0))
	planner := schedule.Planner{
		Local:     schedule.MSK(4), // Novosibirsk
		Blackouts: []schedule.Period{{First: schedule.NewDate(2026, 11, 2), Note: "monthly payments"}},
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
	fmt.Println(plan.Slots[0])
	// Output:
	// 2026-10-30: too late in the day (1h free, 2h59m needed)
	// 2026-10-31: weekend
	// 2026-11-01: weekend
	// 2026-11-02: blackout date: monthly payments
	// start from 2026-11-03 10:00 MSK (14:00 MSK+4) to 2026-11-03 15:01 MSK (19:01 MSK+4)
}

// The check right before the first damage.
func ExamplePlanner_Fits() {
	var planner schedule.Planner
	estimate := schedule.Estimate{Checks: 5 * time.Minute, Rollback: 30 * time.Minute, BackupDone: true}
	now := time.Date(2026, 11, 27, 17, 0, 0, 0, schedule.MSK(0))
	err := planner.Fits(now, estimate)
	if pe, ok := errors.AsType[*schedule.PlanError](err); ok {
		fmt.Println(err)
		fmt.Println(pe.Why.Reason == schedule.TooLate, pe.Next.Start.Sub(now))
	}
	// Output:
	// an update of 2h39m does not fit at 2026-11-27 17:00 MSK: too late in the day (2h free, 2h39m needed); next start: 2026-11-30 10:00 MSK
	// true 65h0m0s
}
