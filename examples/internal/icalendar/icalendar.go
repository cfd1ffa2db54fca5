// Package icalendar writes releases, support hours and days off as a file for
// calendar programs (RFC 5545).
package icalendar

import (
	"fmt"
	"time"

	ics "github.com/arran4/golang-ical"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/schedule"
)

// Write writes an agenda to a file, or replaces it. An event has the same UID
// each time, a release by its version and a day by its date, so that a program
// that imports the file again replaces the events. Only releases mark a person
// as busy. Stamp is the time at which the file is written; say
// puts its texts into a language.
func Write(file string, a schedule.Agenda, stamp time.Time, say func(string) string) error {
	cal := ics.NewCalendarFor("aspupdate")
	cal.SetXWRCalName(say("ASP releases"))
	event := func(uid, summary string, opaque bool) *ics.VEvent {
		e := cal.AddEvent(uid + "@aspupdate")
		e.SetDtStampTime(stamp)
		e.SetSummary(say(summary))
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
		e.SetDescription(say("R1: at about 20:00 Moscow time; R5: late if not released by midnight"))
	}
	for _, day := range a.Days {
		if !day.Support.Start.IsZero() && (day.Short || day.Note != "") { // the usual hours would be an event each day
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
	// RFC 5545 requires these line ends on every system.
	return durable.WriteFile(file, []byte(cal.Serialize(ics.WithNewLineWindows)), 0o644)
}
