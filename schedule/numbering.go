package schedule

import (
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/version"
)

// An Epoch is the time during which the global version X is the same (R2).
type Epoch struct {
	X     int
	Year  int        // of X.01
	Month time.Month // of X.01; zero means January
}

// first counts months, from January of the year 0.
func (e Epoch) first() int { return e.Year*12 + max(int(e.Month), 1) - 1 }

// A Numbering maps versions to months and back (R2). The zero Numbering follows
// the regulation: 7.01 is January 2019, and an epoch has 36 months, so 6.01 is
// January 2016, 8.01 is January 2022, and so on.
//
// The month is that of the number, not of the release's appearance: 7.12.300 is
// a December version even if it appears in January.
type Numbering struct {
	// Epochs replaces the regulation's rule, since a certification can be late.
	// They are in order by X and date. An epoch lasts until the next one, the
	// last one 36 months. A version outside of them has no month.
	Epochs []Epoch
}

// usual is the number of months of an epoch by the regulation.
const usual = 36

// Month returns the month of v; that of a beta is its release's. The error wraps
// [ErrBeyondData] if the numbering has no such month.
func (n Numbering) Month(v version.Version) (year int, month time.Month, err error) {
	m, err := n.month(v)
	if err != nil {
		return 0, 0, err
	}
	return m / 12, time.Month(m%12 + 1), nil
}

func (n Numbering) month(v version.Version) (int, error) {
	if v.IsZero() {
		return 0, fmt.Errorf("cannot find the month of no version: %w", ErrBeyondData)
	}
	first, months, err := n.epoch(v.X())
	if err != nil {
		return 0, fmt.Errorf("version %v: %w", v, err)
	}
	if v.YY() > months {
		return 0, fmt.Errorf("version %v is after %d.%02d, the last month of its epoch: %w; if the epoch lasted longer, use a Numbering with other epochs",
			v, v.X(), months, ErrBeyondData)
	}
	return first + v.YY() - 1, nil
}

// epoch returns the first month of X and the number of its months.
func (n Numbering) epoch(x int) (first, months int, err error) {
	if len(n.Epochs) == 0 {
		return regular(x), usual, nil
	}
	if err := n.check(); err != nil {
		return 0, 0, err
	}
	for i, e := range n.Epochs {
		if e.X == x {
			return e.first(), n.length(i), nil
		}
	}
	return 0, 0, fmt.Errorf("no epoch has the global version %d: %w", x, ErrBeyondData)
}

// regular returns the first month of X by the regulation.
func regular(x int) int { return (2019 + 3*(x-7)) * 12 }

func (n Numbering) length(i int) int {
	if i+1 < len(n.Epochs) {
		return n.Epochs[i+1].first() - n.Epochs[i].first()
	}
	return usual
}

func (n Numbering) check() error {
	for i, e := range n.Epochs {
		switch {
		case e.X < 1 || e.Year < 1 || e.Year > 9999 || e.Month < 0 || e.Month > 12:
			return fmt.Errorf("invalid epoch %d of the numbering, X = %d from %d-%02d", i, e.X, e.Year, int(e.Month))
		case i > 0 && (e.X <= n.Epochs[i-1].X || e.first() <= n.Epochs[i-1].first()):
			return fmt.Errorf("epoch %d of the numbering, X = %d, is out of order; sort them by X and date", i, e.X)
		}
	}
	return nil
}

// Version returns the number of the n-th release of a month: 7.04.200 for the
// second one of April 2019. The error wraps [ErrBeyondData] if the numbering has
// no such month.
func (n Numbering) Version(year int, month time.Month, nth int) (version.Version, error) {
	if month < 1 || month > 12 || nth < 1 || nth > 655 || year < 1 || year > 9999 {
		return version.Version{}, fmt.Errorf("invalid release %d of month %d of %d", nth, int(month), year)
	}
	return n.version(year*12+int(month)-1, nth)
}

func (n Numbering) version(m, nth int) (version.Version, error) {
	if len(n.Epochs) == 0 {
		if x := (m/12 - 1998) / 3; x >= 1 {
			return version.New(x, m-regular(x)+1, nth*100)
		}
	} else if err := n.check(); err != nil {
		return version.Version{}, err
	}
	for i, e := range n.Epochs {
		if yy := m - e.first() + 1; yy >= 1 && yy <= n.length(i) {
			return version.New(e.X, yy, nth*100)
		}
	}
	return version.Version{}, fmt.Errorf("the numbering has no version of %d-%02d: %w", m/12, m%12+1, ErrBeyondData)
}

// CrossesYear reports whether an update leads to a later year than that of the
// installed version, so that R14 applies: by R8 it includes the first version of
// that year, even if that one was never installed. The result is false if from
// is zero, which is a first installation, or later than to.
func (n Numbering) CrossesYear(from, to version.Version) (bool, error) {
	if from.IsZero() {
		return false, nil
	}
	a, err := n.month(from)
	if err != nil {
		return false, err
	}
	b, err := n.month(to)
	if err != nil {
		return false, err
	}
	return a/12 < b/12, nil
}
