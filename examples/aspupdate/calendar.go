package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// A calendarDoc is a span of days with the releases that are expected in it.
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
	OnDay   string          `json:"on_day_off,omitempty"` // which one, if it falls on one
}

type dayDoc struct {
	Date  schedule.Date `json:"date"` // Moscow's
	Kind  string        `json:"kind"`
	Note  string        `json:"note,omitempty"`
	Off   bool          `json:"off"`
	Short bool          `json:"short"`          // an hour shorter by law
	From  time.Time     `json:"from,omitzero"`  // support's hours (R13)
	Until time.Time     `json:"until,omitzero"` // excluded
}

// newCalendarDoc fails beyond the production calendar's data.
func newCalendarDoc(c calendarConfig, first, last schedule.Date) (calendarDoc, error) {
	d := calendarDoc{Schema: "aspupdate.calendar/1", First: first, Last: last, Releases: []releaseDoc{}}
	agenda, err := c.releases().Agenda(first, last, schedule.Hours{Workdays: c.days})
	for _, day := range agenda.Days {
		doc := dayDoc{Date: day.Date, Kind: day.Kind.String(), Note: day.Note, Off: !day.Kind.Working(), Short: day.Short}
		if w := day.Support; !w.Start.IsZero() {
			doc.From, doc.Until = w.Start.UTC(), w.End.UTC()
		}
		d.Days = append(d.Days, doc)
	}
	for _, r := range agenda.Releases {
		doc := releaseDoc{Version: r.Version, Due: r.Due.UTC()}
		if !r.Day.Kind.Working() {
			doc.OnDay = r.Day.String()
		}
		d.Releases = append(d.Releases, doc)
	}
	return d, err
}

func (d calendarDoc) print(p *printer) {
	year, month, _ := d.First.Date()
	p.line("%s %d, by Moscow's date", month, year)
	p.line("  Mo    Tu    We    Th    Fr    Sa    Su")
	due := map[schedule.Date]bool{}
	for _, r := range d.Releases {
		due[schedule.DateOf(r.Due.In(moscow))] = true
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
	p.line("[ ] day off   * release expected   s an hour shorter by law")
	for _, r := range d.Releases {
		text := ""
		if r.OnDay != "" {
			text = ", on a day off: " + r.OnDay
		}
		p.line("release %s expected %s%s", r.Version, p.time(r.Due), text)
	}
	usual := ""
	for _, day := range d.Days {
		hours := ""
		if !day.From.IsZero() {
			hours = p.hours(day.From, day.Until)
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
	p.line("support (R13): Monday to Friday but on days off, %s", usual)
}

// column is 0 for Monday.
func column(d schedule.Date) int { return (int(d.Weekday()) + 6) % 7 }

func (p *printer) hours(from, until time.Time) string {
	s := from.In(moscow).Format("15:04-") + until.In(moscow).Format("15:04 MST")
	if p.local != nil {
		s += from.In(p.local).Format(" (15:04-") + until.In(p.local).Format("15:04 here)")
	}
	return s
}

// runCalendar shows a month. The file has it and the eleven months after it,
// or as many as the data reach to.
func runCalendar(_ context.Context, s *site, cmd *cli.Command) error {
	now := time.Now()
	year, month, _ := schedule.DateOf(now.In(moscow)).Date()
	if cmd.Args().Present() {
		text, err := argument(cmd, "month")
		if err != nil {
			return err
		}
		t, err := time.Parse("2006-01", text)
		if err != nil {
			return fmt.Errorf("%w: %q is no month such as 2026-12", errConfig, text)
		}
		year, month, _ = t.Date()
	}
	first := schedule.NewDate(year, month, 1)
	d, err := newCalendarDoc(s.conf.Calendar, first, schedule.NewDate(year, month+1, 0))
	if err != nil {
		return err
	}
	if file := cmd.String("ics"); file != "" {
		last := schedule.NewDate(year, month+12, 0)
		if end := s.conf.Calendar.days.Last(); last.Compare(end) > 0 {
			last = end
		}
		all, err := newCalendarDoc(s.conf.Calendar, first, last)
		if err == nil {
			err = writeICS(file, all, now)
		}
		if err != nil {
			return err
		}
		s.show.line("%s: %s to %s", file, first, last)
	}
	if w := s.conf.Calendar.days.Warning(now); w != "" {
		s.show.line("%s", w)
	}
	return s.show.answer(d)
}
