package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/examples/internal/icalendar"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// A calendarDoc is a range of days with the releases expected in it.
type calendarDoc struct {
	Schema   string        `json:"schema"` // aspupdate.calendar/1
	First    schedule.Date `json:"first"`
	Last     schedule.Date `json:"last"` // included
	Releases []releaseDoc  `json:"releases"`
	Days     []dayDoc      `json:"days"`
}

type releaseDoc struct {
	Version version.Version `json:"version"`
	Due     time.Time       `json:"due"`
	OnDay   string          `json:"on_day_off,omitempty"` // the day off that it falls on, if any
}

type dayDoc struct {
	Date  schedule.Date `json:"date"` // Moscow's
	Kind  string        `json:"kind"`
	Note  string        `json:"note,omitempty"`
	Off   bool          `json:"off"`
	Short bool          `json:"short"`          // one hour shorter by law
	From  time.Time     `json:"from,omitzero"`  // support's hours (R13)
	Until time.Time     `json:"until,omitzero"` // excluded
}

func newCalendarDoc(first, last schedule.Date, a schedule.Agenda) calendarDoc {
	d := calendarDoc{"aspupdate.calendar/1", first, last, []releaseDoc{}, nil}
	for _, day := range a.Days {
		doc := dayDoc{Date: day.Date, Kind: day.Kind.String(), Note: day.Note, Off: !day.Kind.Working(), Short: day.Short}
		if w := day.Support; !w.Start.IsZero() {
			doc.From, doc.Until = w.Start.UTC(), w.End.UTC()
		}
		d.Days = append(d.Days, doc)
	}
	for _, r := range a.Releases {
		doc := releaseDoc{Version: r.Version, Due: r.Due.UTC()}
		if !r.Day.Kind.Working() {
			doc.OnDay = r.Day.String()
		}
		d.Releases = append(d.Releases, doc)
	}
	return d
}

func (d calendarDoc) print(p *printer) {
	year, month, _ := d.First.Date()
	p.line("%s %d, Moscow dates", month, year)
	d.printTable(p)
	for _, r := range d.Releases {
		p.line("release %s expected %s%s", r.Version, p.Time(r.Due), after(", on a day off: ", r.OnDay))
	}
	d.printHours(p)
}

// printTable prints the month as a table with a row for each week.
func (d calendarDoc) printTable(p *printer) {
	p.line("  Mo    Tu    We    Th    Fr    Sa    Su")
	due := map[schedule.Date]bool{}
	for _, r := range d.Releases {
		due[schedule.DateOf(r.Due.In(schedule.MSK(0)))] = true
	}
	row := strings.Repeat("      ", column(d.First))
	for _, day := range d.Days {
		_, _, n := day.Date.Date()
		left, right, mark := " ", " ", " "
		if day.Off {
			left, right = "[", "]"
		}
		if day.Short {
			mark = "s"
		}
		if due[day.Date] {
			mark = "*"
		}
		row += fmt.Sprintf("%s%2d%s%s ", left, n, right, mark)
		if column(day.Date) == 6 || day.Date == d.Last {
			p.line("%s", strings.TrimRight(row, " "))
			row = ""
		}
	}
	p.line("[ ] day off   * release expected   s one hour shorter by law")
}

// printHours prints the days that have a note, and the usual support hours.
func (d calendarDoc) printHours(p *printer) {
	usual := ""
	for _, day := range d.Days {
		hours := ""
		if !day.From.IsZero() {
			hours = p.Hours(day.From, day.Until)
		}
		switch {
		case day.Note != "" && hours != "":
			p.line("%s  %s, support %s", day.Date, day.Note, hours)
		case day.Note != "":
			p.line("%s  %s: %s", day.Date, day.Kind, day.Note)
		case hours != "" && usual == "":
			usual = hours
		}
	}
	p.line("support (R13): Monday to Friday except days off, %s", usual)
}

// column returns the column of a day in the table, 0 for Monday.
func column(d schedule.Date) int { return (int(d.Weekday()) + 6) % 7 }

// calendar prints a month. With --ics it also writes a file with that month and
// the eleven after it, as far as the data reach.
func calendar(_ context.Context, j *job) error {
	now := time.Now()
	first, err := firstOfMonth(j.cmd, now)
	if err != nil {
		return err
	}
	year, month, _ := first.Date()
	last := schedule.NewDate(year, month+1, 0)
	agenda, err := j.Config.Agenda(first, last)
	if err != nil {
		return err
	}
	if file := j.cmd.String("ics"); file != "" {
		if err := writeICS(j, file, first, now); err != nil {
			return err
		}
	}
	if w := j.Config.Days().Warning(now); w != "" {
		j.show.line("%s", w)
	}
	return j.show.answer(newCalendarDoc(first, last, agenda))
}

// firstOfMonth returns the first day of the month that the command line names,
// or of this month.
func firstOfMonth(cmd *cli.Command, now time.Time) (schedule.Date, error) {
	year, month, _ := schedule.DateOf(now.In(schedule.MSK(0))).Date()
	if cmd.Args().Present() {
		text, err := argument(cmd, "month")
		if err != nil {
			return schedule.Date{}, err
		}
		t, err := time.Parse("2006-01", text)
		if err != nil {
			return schedule.Date{}, usage("invalid month %q; write it as 2026-12", text)
		}
		year, month, _ = t.Date()
	}
	return schedule.NewDate(year, month, 1), nil
}

// writeICS writes the twelve months from first, or as many as the data have.
func writeICS(j *job, file string, first schedule.Date, now time.Time) error {
	year, month, _ := first.Date()
	last := schedule.NewDate(year, month+12, 0)
	if end := j.Config.Days().Last(); last.Compare(end) > 0 {
		last = end
	}
	agenda, err := j.Config.Agenda(first, last)
	if err != nil {
		return err
	}
	if err := icalendar.Write(file, agenda, now, j.show.speak.Text); err != nil {
		return err
	}
	j.show.line("wrote %s: %s to %s", file, first, last)
	return nil
}
