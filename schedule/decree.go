package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A Decree is the government's yearly one about the days off of one year. All
// else about a year follows from law, so this is all that a new year needs.
type Decree struct {
	Year   int    `json:"year"`
	Number string `json:"number"` // for people
	Signed Date   `json:"signed,omitzero"`
	Moves  []Move `json:"moves"` // never empty
}

// A Move moves a day off: From is a Saturday or Sunday, To a working day that
// becomes a day off. If From is no holiday, it becomes a working day.
type Move struct {
	From Date `json:"from"`
	To   Date `json:"to"`
}

func (d Decree) check() error {
	if d.Year < 2013 || d.Year > 9998 {
		// The rules this package derives a year by are in force since 2013.
		return fmt.Errorf("decree %q is for the year %d: give its year, 2013 or later", d.Number, d.Year)
	}
	if len(d.Moves) == 0 {
		// Some of 1 to 8 January fall on a weekend every year, and only a
		// decree moves those days: none at all is a file that is not finished.
		return fmt.Errorf("decree %q of %d moves no day: give its moves", d.Number, d.Year)
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

// WithDecrees returns a calendar with more years, or with another decree for a
// year. Years must follow each other without a gap.
func (c *Production) WithDecrees(decrees ...Decree) (*Production, error) {
	all := slices.Clone(c.decrees)
	for _, d := range decrees {
		if err := d.check(); err != nil {
			return nil, err
		}
		d.Moves = slices.Clone(d.Moves)
		all = slices.DeleteFunc(all, func(old Decree) bool { return old.Year == d.Year })
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b Decree) int { return a.Year - b.Year })
	for i := 1; i < len(all); i++ {
		if all[i].Year != all[i-1].Year+1 {
			return nil, fmt.Errorf("decrees are known for %d and %d: add those of the years between", all[i-1].Year, all[i].Year)
		}
	}
	return derive(all, c.off), nil
}

// mostBytes is more than decrees take, for hundreds of years.
const mostBytes = 1 << 20

// Load returns a calendar with what a file adds: decrees for more years, or
// other ones for known years, and further days off. So next year's calendar
// needs no new build. The file is JSON:
//
//	{
//	  "decrees": [
//	    {"year": 2028, "number": "1200", "signed": "2027-09-15",
//	     "moves": [{"from": "2028-01-08", "to": "2028-05-02"}]}
//	  ],
//	  "days_off": [
//	    {"first": "2028-03-06", "last": "2028-03-07", "note": "support moves house"}
//	  ]
//	}
//
// Unknown keys are an error, and so is a decree that contradicts the calendar.
func (c *Production) Load(r io.Reader) (*Production, error) {
	var file struct {
		Decrees []Decree `json:"decrees"`
		DaysOff []Period `json:"days_off"`
	}
	lr := &io.LimitedReader{R: r, N: mostBytes + 1}
	dec := json.NewDecoder(lr)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		if lr.N == 0 {
			err = errors.New("it has more than a megabyte")
		}
		return nil, fmt.Errorf("cannot read decrees: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("cannot read decrees: something follows their end")
	}
	c, err := c.WithDecrees(file.Decrees...)
	if err != nil {
		return nil, err
	}
	return c.WithDaysOff(file.DaysOff...)
}
