// Package icalendar writes the vendor's and the support's calendar for other
// calendar programs (RFC 5545).
package icalendar

import (
	"fmt"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/schedule"
)

// Write makes a file of an agenda, or replaces it. An event has the same UID
// each time, so that a file that is read again replaces what it said before: a
// release by its number, a day by its date. Only the releases make a person
// busy in the eyes of such a program. Stamp is when it was made.
func Write(file string, a schedule.Agenda, stamp time.Time) error {
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
	for _, r := range a.Releases {
		summary := fmt.Sprintf("release %s expected", r.Version)
		if !r.Day.Kind.Working() {
			summary += ", on a day off: " + r.Day.String()
		}
		e := event("release-"+r.Version.String(), summary, true)
		e.SetStartAt(r.Due)
		e.SetEndAt(r.Due.Add(time.Hour))
		e.SetDescription("R1: at about 20:00 Moscow time; R5: it is late if it is not there by midnight")
	}
	for _, day := range a.Days {
		if !day.Support.Start.IsZero() {
			e := event("support-"+day.Date.String(), "support (R13)", false)
			e.SetStartAt(day.Support.Start)
			e.SetEndAt(day.Support.End)
		}
		if day.Note != "" {
			e := event("day-"+day.Date.String(), day.Kind.String()+": "+day.Note, false)
			e.SetAllDayStartAt(day.Date.In(time.UTC))
			e.SetAllDayEndAt(day.Date.AddDays(1).In(time.UTC))
		}
	}
	// The format wants these line ends on every system.
	return durable.WriteFile(file, []byte(cal.Serialize(ics.WithNewLineWindows)), 0o644)
}
