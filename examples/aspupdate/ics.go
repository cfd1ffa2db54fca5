package main

import (
	"fmt"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/schedule"
)

// writeICS writes the calendar for other calendar programs. An event has the
// same UID each time, so that a file that is read again replaces what it
// said before: a release by its number, a day by its date. Only the releases
// make a person busy in the eyes of such a program.
func writeICS(file string, d calendarDoc, stamp time.Time) error {
	cal := ics.NewCalendarFor("aspupdate")
	cal.SetXWRCalName("ASP releases")
	event := func(uid, summary string, opaque bool) *ics.VEvent {
		e := cal.AddEvent(uid + "@aspupdate")
		e.SetDtStampTime(stamp)
		e.SetSummary(summary)
		if !opaque {
			e.SetTimeTransparency(ics.TransparencyTransparent)
		}
		return e
	}
	for _, r := range d.Releases {
		summary := fmt.Sprintf("release %s expected", r.Version)
		if r.OnDay != "" {
			summary += ", on a day off: " + r.OnDay
		}
		e := event("release-"+r.Version.String(), summary, true)
		e.SetStartAt(r.Due)
		e.SetEndAt(r.Due.Add(time.Hour))
		e.SetDescription("R1: at about 20:00 Moscow time; R5: it is late if it is not there by midnight")
	}
	for _, day := range d.Days {
		if !day.From.IsZero() {
			e := event("support-"+day.Date.String(), "support (R13)", false)
			e.SetStartAt(day.From)
			e.SetEndAt(day.Until)
		}
		if day.Note != "" {
			e := event("day-"+day.Date.String(), day.Kind+": "+day.Note, false)
			e.SetAllDayStartAt(utc(day.Date))
			e.SetAllDayEndAt(utc(day.Date.AddDays(1)))
		}
	}
	// The format wants these line ends on every system.
	return durable.WriteFile(file, []byte(cal.Serialize(ics.WithNewLineWindows)), 0o644)
}

func utc(d schedule.Date) time.Time { return d.In(time.UTC) }
