package schedule

// An Agenda lists the days of a span with what matters for planning.
type Agenda struct {
	Days     []AgendaDay
	Releases []Release // those expected on one of the days (R1)
}

// An AgendaDay is one day of an [Agenda].
type AgendaDay struct {
	Date Date
	Day
	Support Window // the support hours (R13); zero if there are none
}

// Agenda returns the days from first to last, both included, with the support
// hours on each, and the releases that c expects on them. The error wraps
// [ErrBeyondData] if the data of the calendar, the numbering or the hours end
// before last.
func (c Calendar) Agenda(first, last Date, h Hours) (Agenda, error) {
	var a Agenda
	var r hours
	if _, err := h.resolve(&r, first.In(moscow)); err != nil {
		return a, err
	}
	for d := first; d.Compare(last) <= 0; d = d.AddDays(1) {
		day, err := r.days.Day(d)
		if err != nil {
			return a, err
		}
		one := AgendaDay{Date: d, Day: day}
		if support, short, err := r.support(d); err != nil {
			return a, err
		} else if support {
			open, end := r.window(d, short)
			one.Support = Window{r.time(open), r.time(end)}
		}
		a.Days = append(a.Days, one)
	}
	for release, err := range c.From(first.In(r.zone)) {
		if err != nil {
			return a, err
		}
		if DateOf(release.Due).Compare(last) > 0 {
			break
		}
		a.Releases = append(a.Releases, release)
	}
	return a, nil
}
