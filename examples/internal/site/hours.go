package site

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// weekdays are how weekdays are written.
var weekdays = map[string]time.Weekday{
	"mon": time.Monday, "tue": time.Tuesday, "wed": time.Wednesday, "thu": time.Thursday, "fri": time.Friday, "sat": time.Saturday, "sun": time.Sunday,
}

var dailyForm = regexp.MustCompile(`^(?:([a-z,]+) +)?(\d\d:\d\d)-(\d\d:\d\d)$`)

// parseDaily reads quiet hours, such as "18:00-24:00" or "sat,sun 10:00-19:00".
func parseDaily(text string) (d schedule.Daily, err error) {
	bad := fmt.Errorf("window.quiet_hours has %q: write \"18:00-24:00\", or \"sat,sun 10:00-19:00\" for some weekdays", text)
	m := dailyForm.FindStringSubmatch(text)
	if m == nil {
		return d, bad
	}
	if m[1] != "" {
		for name := range strings.SplitSeq(m[1], ",") {
			w, ok := weekdays[name]
			if !ok {
				return d, bad
			}
			d.Weekdays = append(d.Weekdays, w)
		}
	}
	var ok [2]bool
	d.From, ok[0] = timeOfDay(m[2])
	d.To, ok[1] = timeOfDay(m[3])
	if !ok[0] || !ok[1] || d.From == 24*time.Hour || d.From == d.To {
		return d, bad
	}
	return d, nil
}

// timeOfDay reads digits as "18:30", up to "24:00".
func timeOfDay(text string) (time.Duration, bool) {
	hours, _ := strconv.Atoi(text[:2])
	minutes, _ := strconv.Atoi(text[3:])
	d := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	return d, minutes < 60 && d <= 24*time.Hour
}

// parsePeriod reads days without updates, such as "2026-12-25..2027-01-10 annual reports".
func parsePeriod(text string) (p schedule.Period, err error) {
	days, note, _ := strings.Cut(text, " ")
	first, last, several := strings.Cut(days, "..")
	err = p.First.UnmarshalText([]byte(first))
	if err == nil && several {
		err = p.Last.UnmarshalText([]byte(last))
	}
	if err != nil || several && p.Last.Compare(p.First) < 0 {
		return p, fmt.Errorf("window.blackouts has %q: write \"2026-12-31\", or \"2026-12-25..2027-01-10\", with the reason after a space", text)
	}
	p.Note = strings.TrimSpace(note)
	return p, nil
}

// read checks and keeps when this site has no updates.
func (w *windowConfig) read() (m mistakes) {
	w.quiet, w.blackout = nil, nil
	for _, text := range w.QuietHours {
		d, err := parseDaily(text)
		m.add(err)
		w.quiet = append(w.quiet, d)
	}
	for _, text := range w.Blackouts {
		p, err := parsePeriod(text)
		m.add(err)
		w.blackout = append(w.blackout, p)
	}
	return m
}

// readEpochs checks and keeps since when the global version is what (R2).
func (c *calendarConfig) readEpochs() error {
	c.numbering = schedule.Numbering{}
	for _, x := range slices.Sorted(maps.Keys(c.Epochs)) {
		number, err := strconv.Atoi(x)
		first, ferr := time.Parse("2006-01", c.Epochs[x])
		if err != nil || ferr != nil || strconv.Itoa(number) != x {
			return fmt.Errorf("calendar.epochs has %q = %q: write the global version and the month of its first release, such as \"9\" = \"2025-03\"", x, c.Epochs[x])
		}
		c.numbering.Epochs = append(c.numbering.Epochs, schedule.Epoch{X: number, Year: first.Year(), Month: first.Month()})
	}
	slices.SortFunc(c.numbering.Epochs, func(a, b schedule.Epoch) int { return cmp.Compare(a.X, b.X) })
	if len(c.numbering.Epochs) == 0 {
		return nil
	}
	v, err := version.New(max(c.numbering.Epochs[0].X, 1), 1, 100)
	if err == nil {
		_, _, err = c.numbering.Month(v)
	}
	if err != nil {
		return fmt.Errorf("calendar.epochs: %w", err)
	}
	return nil
}
