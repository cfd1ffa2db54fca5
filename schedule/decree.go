package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A decree is the government's yearly decree about the days off of a year. All
// else about the year follows from law, so a new year needs nothing else.
type decree struct {
	Year   int    `json:"year"`
	Number string `json:"number"` // for people
	Signed Date   `json:"signed,omitzero"`
	Moves  []move `json:"moves"` // never empty
}

// A move moves a day off: From is a Saturday or Sunday, To a working day that
// becomes a day off. Unless From is a holiday, it becomes a working day.
type move struct {
	From Date `json:"from"`
	To   Date `json:"to"`
}

func (d decree) check() error {
	if d.Year < 2013 || d.Year > 9998 {
		// The law from which this package derives a year is in force since 2013.
		return fmt.Errorf("decree %q has the invalid year %d; use 2013 or later", d.Number, d.Year)
	}
	if len(d.Moves) == 0 {
		// Some of 1 to 8 January are on a weekend every year, and only a decree
		// moves those days: a file without moves is unfinished.
		return fmt.Errorf("decree %q of %d has no moves; add them", d.Number, d.Year)
	}
	from, to := map[Date]bool{}, map[Date]bool{}
	for _, m := range d.Moves {
		fail := func(what string) error {
			return fmt.Errorf("decree %q of %d moves %v to %v: %s", d.Number, d.Year, m.From, m.To, what)
		}
		fromYear, _, _ := m.From.Date()
		toYear, _, _ := m.To.Date()
		switch {
		case fromYear != d.Year || toYear != d.Year:
			return fail("both must be in the year")
		case !weekend(m.From):
			return fail("the first must be a Saturday or Sunday")
		case weekend(m.To) || holiday(m.To) != "":
			return fail("the second must be a working day")
		case from[m.From] || to[m.To]:
			return fail("one of these days is moved twice")
		}
		from[m.From], to[m.To] = true, true
	}
	return nil
}

// withDecrees returns a calendar with more years, or with another decree for a
// year. Years must follow each other without a gap.
func (c *Production) withDecrees(decrees ...decree) (*Production, error) {
	all := slices.Clone(c.decrees)
	for _, d := range decrees {
		if err := d.check(); err != nil {
			return nil, err
		}
		d.Moves = slices.Clone(d.Moves)
		all = slices.DeleteFunc(all, func(old decree) bool { return old.Year == d.Year })
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b decree) int { return a.Year - b.Year })
	for i := 1; i < len(all); i++ {
		if all[i].Year != all[i-1].Year+1 {
			return nil, fmt.Errorf("decrees of the years between %d and %d are missing; add them", all[i-1].Year, all[i].Year)
		}
	}
	return derive(all, c.off), nil
}

// mostBytes is more than the decrees of hundreds of years.
const mostBytes = 1 << 20

// Load returns a calendar with the additions of a file: decrees for more years,
// or other decrees for known years, and days off. So next year's calendar needs
// no new program. The file is JSON:
//
//	{
//	  "decrees": [
//	    {"year": 2028, "number": "1200", "signed": "2027-09-15",
//	     "moves": [{"from": "2028-01-08", "to": "2028-05-02"}]}
//	  ],
//	  "days_off": [
//	    {"first": "2028-03-06", "last": "2028-03-07", "note": "support moves to another office"}
//	  ]
//	}
//
// A day off that is not a working day changes nothing. Unknown keys are an
// error, and so is a decree that contradicts the calendar.
func (c *Production) Load(r io.Reader) (*Production, error) {
	var file struct {
		Decrees []decree `json:"decrees"`
		DaysOff []Period `json:"days_off"`
	}
	lr := &io.LimitedReader{R: r, N: mostBytes + 1}
	dec := json.NewDecoder(lr)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		if lr.N == 0 {
			err = fmt.Errorf("larger than %d bytes", mostBytes)
		}
		return nil, fmt.Errorf("cannot read decrees: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("cannot read decrees: data after the end of the JSON object")
	}
	c, err := c.withDecrees(file.Decrees...)
	if err != nil {
		return nil, err
	}
	return c.withDaysOff(file.DaysOff...)
}
