package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Production is a Russian production calendar: [Workdays] derived from decrees
// and from law. It is immutable and safe for concurrent use. [Russia] returns
// one; the zero Production has no days.
type Production struct {
	decrees []decree
	off     []Period

	first, last Date
	kinds       []Kind // by day since first
	short       bits
	notes       map[Date]string

	// Support days without and with the weekends that a decree makes working.
	week, all bits
}

// derive returns the calendar of decrees for consecutive years. It has three
// rules:
//
//   - Labor Code, article 112: a holiday on a Saturday or Sunday makes the next
//     working day a day off, unless a decree moves it; but weekend days on 1 to
//     8 January are moved by decree only.
//   - Article 95: the working day right before a holiday is an hour shorter.
//   - Order 588n: a weekend day made a working day by a decree is as long as the
//     day that it was swapped with.
func derive(decrees []decree, off []Period) *Production {
	c := &Production{decrees: decrees, off: off, notes: map[Date]string{}}
	if len(decrees) == 0 {
		return c
	}
	c.first = NewDate(decrees[0].Year, time.January, 1)
	c.last = NewDate(decrees[len(decrees)-1].Year, time.December, 31)
	n := int(c.last.n-c.first.n) + 1
	c.kinds = make([]Kind, n)
	c.short, c.week, c.all = newBits(n), newBits(n), newBits(n)

	for i := range c.kinds {
		switch d := c.first.AddDays(i); {
		case holiday(d) != "":
			c.set(d, Holiday, holiday(d))
		case weekend(d):
			c.set(d, Weekend, "")
		default:
			c.set(d, Workday, "")
		}
	}
	swapped := map[Date]Date{}
	for _, decree := range decrees {
		for _, m := range decree.Moves {
			swapped[m.From] = m.To
			c.set(m.To, MovedDayOff, fmt.Sprintf("moved from %v by decree %s", m.From, decree.Number))
			if holiday(m.From) == "" {
				c.set(m.From, WorkingWeekend, fmt.Sprintf("instead of %v by decree %s", m.To, decree.Number))
			}
		}
	}
	c.carryOver(swapped)
	c.shorten(swapped)
	for _, p := range off {
		first, last := p.bounds()
		for d := max(first.n, c.first.n); d <= min(last.n, c.last.n); d++ {
			if d := (Date{d}); c.kind(d).Working() {
				c.set(d, DeclaredDayOff, p.Note)
				c.short.clear(c.index(d))
			}
		}
	}
	for i, k := range c.kinds {
		if k == Workday {
			c.week.set(i)
		}
		if k.Working() {
			c.all.set(i)
		}
	}
	return c
}

// carryOver applies the first rule: article 112.
func (c *Production) carryOver(swapped map[Date]Date) {
	for from := c.first; from.n <= c.last.n; from.n++ {
		_, month, _ := from.Date()
		if _, moved := swapped[from]; moved || holiday(from) == "" || month == time.January || !weekend(from) {
			continue
		}
		for to := from.AddDays(1); to.n <= c.last.n; to.n++ {
			if c.kind(to).Working() {
				c.set(to, MovedDayOff, fmt.Sprintf("moved from %v, %s", from, holiday(from)))
				break
			}
		}
	}
}

// shorten applies the other two rules: article 95 and order 588n.
func (c *Production) shorten(swapped map[Date]Date) {
	for i, k := range c.kinds {
		d := c.first.AddDays(i)
		length := d // the day that determines the length of d
		if k == WorkingWeekend {
			length = swapped[d]
		}
		eve := holiday(length.AddDays(1))
		if !k.Working() || eve == "" {
			continue
		}
		c.short.set(i)
		if k == Workday {
			c.notes[d] = "eve of " + eve
		} else {
			c.notes[d] += ", eve of " + eve
		}
	}
}

func (c *Production) index(d Date) int { return int(d.n - c.first.n) }

func (c *Production) kind(d Date) Kind { return c.kinds[c.index(d)] }

func (c *Production) set(d Date, k Kind, note string) {
	c.kinds[c.index(d)] = k
	if note == "" {
		delete(c.notes, d)
	} else {
		c.notes[d] = note
	}
}

// Day returns the kind of d. The error wraps [ErrBeyondData] if the calendar has
// no decree for d's year.
func (c *Production) Day(d Date) (Day, error) {
	i := c.index(d)
	if i < 0 || i >= len(c.kinds) {
		return Day{}, c.beyond(d)
	}
	return Day{c.kinds[i], c.short.has(i), c.notes[d]}, nil
}

func (c *Production) beyond(d Date) error {
	if len(c.kinds) == 0 {
		return fmt.Errorf("a production calendar without decrees: %w; use Russia()", ErrBeyondData)
	}
	return fmt.Errorf("%v is %w of the production calendar, %v to %v; load the decree of that year", d, ErrBeyondData, c.first, c.last)
}

// Last returns the last day of the calendar.
func (c *Production) Last() Date { return c.last }

// Warning returns a sentence for the operator from 90 days before the last day of
// the calendar on, by Moscow date, and "" before.
func (c *Production) Warning(now time.Time) string {
	left := c.last.n - DateOf(now.In(moscow)).n
	switch {
	case left < 0:
		return fmt.Sprintf("the production calendar ended on %v; load the decree of the year", c.last)
	case left <= 90:
		return fmt.Sprintf("the production calendar ends on %v, in %d days; load the decree of the next year", c.last, left)
	}
	return ""
}

// withDaysOff returns a calendar with more days off. One that is not a working
// day changes nothing.
func (c *Production) withDaysOff(days ...Period) (*Production, error) {
	for _, p := range days {
		if err := p.check(); err != nil {
			return nil, err
		}
	}
	return derive(c.decrees, slices.Concat(c.off, days)), nil
}

// String returns the first and the last day of the calendar and its decrees.
func (c *Production) String() string {
	var numbers []string
	for _, d := range c.decrees {
		numbers = append(numbers, d.Number)
	}
	return fmt.Sprintf("production calendar %v to %v, by decrees %s", c.first, c.last, strings.Join(numbers, ", "))
}

func weekend(d Date) bool {
	w := d.Weekday()
	return w == time.Saturday || w == time.Sunday
}
