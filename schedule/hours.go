package schedule

import (
	"errors"
	"fmt"
	"time"
)

// Hours are the support hours on working days (R13), half open: there is
// support at Open and none at Close. The zero Hours are the regulation's: Monday
// to Friday, 10:00 to 19:00 Moscow time, by the Russian production calendar.
//
// Hours are a value without state; all methods are safe for concurrent use,
// accept times in any zone and return them in that of the hours.
type Hours struct {
	// Open and Close are times of day, as durations since midnight. If Close is
	// not later than Open, it is on the next day: 22h to 6h is a night, 8h to 8h
	// is a whole day, and so is 0 to 24h. Zero for both means 10h to 19h.
	Open, Close time.Duration
	Zone        *time.Location // nil means Moscow, UTC+3
	Workdays    Workdays       // nil means [Russia]

	// WorkingSaturdays includes weekend days that a decree makes working days.
	// R13 says Monday to Friday.
	WorkingSaturdays bool

	// FullShortDays means that the hours do not end an hour earlier on days that
	// law makes an hour shorter.
	FullShortDays bool
}

// A Window is a span of time, [Start, End).
type Window struct {
	Start, End time.Time
}

// Next returns what is left of the window that is open at t, or the first one
// after t. Windows that touch, as those of 24 hours do, are one. The error wraps
// [ErrBeyondData] where the calendar ends, and [ErrNever] if none of 400 days is
// a working day.
func (h Hours) Next(t time.Time) (Window, error) {
	var r hours
	ns, err := h.resolve(&r, t)
	if err != nil {
		return Window{}, err
	}
	start, end, err := r.next(ns)
	if err != nil {
		return Window{}, err
	}
	first := r.time(start)
	return Window{first, first.Add(time.Duration(end - start))}, nil
}

// Contains reports whether there is support at t.
func (h Hours) Contains(t time.Time) (bool, error) {
	var r hours
	ns, err := h.resolve(&r, t)
	if err != nil {
		return false, err
	}
	return r.contain(ns)
}

// Between returns the support time in [from, to). It is negative if to is before
// from.
func (h Hours) Between(from, to time.Time) (time.Duration, error) {
	var r hours
	a, err := h.resolve(&r, from)
	if err != nil {
		return 0, err
	}
	b, err := instant(to)
	if err != nil {
		return 0, err
	}
	if b < a {
		d, err := r.between(b, a)
		return -d, err
	}
	return r.between(a, b)
}

// Add returns the time at which d of support time has passed since t: 2h after
// Friday 18:00 is Monday 11:00. A d of zero returns the next time with support.
// Where one window has ended and the next not begun, it returns the end.
func (h Hours) Add(t time.Time, d time.Duration) (time.Time, error) {
	if d < 0 {
		return time.Time{}, errors.New("cannot add a negative support time; use Between")
	}
	var r hours
	ns, err := h.resolve(&r, t)
	if err != nil {
		return time.Time{}, err
	}
	for {
		start, end, err := r.next(ns)
		if err != nil {
			return time.Time{}, err
		}
		if left := end - start; int64(d) > left {
			d -= time.Duration(left)
			ns = end
			continue
		}
		return r.time(start + int64(d)), nil
	}
}

// Internally a time is the number of nanoseconds since 1970. Beyond these bounds,
// in the years 1684 and 2255, no calendar has data, and numbers could overflow.
const bound = 9_000_000_000

func instant(t time.Time) (int64, error) {
	if sec := t.Unix(); sec < -bound || sec > bound {
		return 0, fmt.Errorf("year %d is %w of any calendar", t.Year(), ErrBeyondData)
	}
	return t.UnixNano(), nil
}

// hours is Hours with the defaults filled in.
type hours struct {
	open, close int64 // since midnight; close may be on the next day
	cut         int64 // by which a short day is shorter
	saturdays   bool
	zone        *time.Location
	fixed       bool // whether zone is Moscow, at a fixed offset from UTC
	days        Workdays
	ru          *Production // days, if it is a Production
	set         bits        // ru's support days
}

// resolve sets r, which is a parameter because it is large, and returns t as an
// instant.
func (h *Hours) resolve(r *hours, t time.Time) (ns int64, err error) {
	r.open, r.close, r.cut, r.saturdays = int64(h.Open), int64(h.Close), hour, h.WorkingSaturdays
	if r.open == 0 && r.close == 0 {
		r.open, r.close = 10*hour, 19*hour
	}
	if r.open < 0 || r.open >= day || r.close < 0 || r.close > day {
		return 0, fmt.Errorf("invalid hours from %v to %v; use times of day, as durations since midnight", h.Open, h.Close)
	}
	if r.close <= r.open {
		r.close += day
	}
	if h.FullShortDays {
		r.cut = 0
	}
	r.zone = h.Zone
	if r.zone == nil || r.zone == moscow {
		r.zone, r.fixed = moscow, true
	}
	if r.days = h.Workdays; r.days == nil {
		r.days = Russia()
	}
	if r.ru, _ = r.days.(*Production); r.ru != nil {
		r.set = r.ru.week
		if r.saturdays {
			r.set = r.ru.all
		}
	}
	return instant(t)
}

func (r *hours) time(ns int64) time.Time { return time.Unix(0, ns).In(r.zone) }

// date returns the date of a time in the hours' zone.
func (r *hours) date(ns int64) Date {
	if r.fixed {
		return Date{int32(floorDiv(ns+3*hour, day)) + daysToUnix + 1} //nolint:gosec // an int64 of nanoseconds is 300 years
	}
	return DateOf(r.time(ns))
}

// clock returns when the clocks in the zone show t, the duration since the
// midnight at which d begins; that may be on the next day.
func (r *hours) clock(d Date, t int64) int64 {
	if r.fixed {
		return (int64(d.n)-daysToUnix-1)*day - 3*hour + t
	}
	return clock(d, t, r.zone).UnixNano()
}

func clock(d Date, t int64, zone *time.Location) time.Time {
	y, m, dd := d.Date()
	return time.Date(y, m, dd, 0, 0, int(t/second), int(t%second), zone)
}

// window returns the hours of a support day.
func (r *hours) window(d Date, short bool) (open, close int64) {
	open, close = r.clock(d, r.open), r.clock(d, r.close)
	if short {
		close -= r.cut
	}
	return open, max(open, close)
}

// counts reports whether days of a kind are support days.
func (r *hours) counts(k Kind) bool { return k == Workday || k == WorkingWeekend && r.saturdays }

// support reports whether d is a support day, and whether it is a short one.
func (r *hours) support(d Date) (support, short bool, err error) {
	if r.ru != nil {
		i := r.ru.index(d)
		if i < 0 || i >= len(r.ru.kinds) {
			return false, false, r.ru.beyond(d)
		}
		return r.set.has(i), r.ru.short.has(i), nil
	}
	a, err := r.days.Day(d)
	if err == nil && a.Kind == Unknown {
		err = fmt.Errorf("%v is %w of the calendar given", d, ErrBeyondData)
	}
	return r.counts(a.Kind), a.Short, err
}

// far is the number of days after which a search ends.
const far = 400

// supportDay returns the first support day from d on, and whether it is short.
func (r *hours) supportDay(d Date) (Date, bool, error) {
	if r.ru != nil {
		i := r.ru.index(d)
		if i < 0 || i >= len(r.ru.kinds) {
			return d, false, r.ru.beyond(d)
		}
		if i = r.set.next(i); i < 0 {
			return d, false, r.ru.beyond(r.ru.last.AddDays(1))
		}
		return r.ru.first.AddDays(i), r.ru.short.has(i), nil
	}
	for end := d.AddDays(far); d.n < end.n; d.n++ {
		support, short, err := r.support(d)
		if support || err != nil {
			return d, short, err
		}
	}
	return d, false, fmt.Errorf("cannot find a working day in %d days before %v: %w; check the calendar given", far, d, ErrNever)
}

// earliest returns the first day whose hours may be open at t.
func (r *hours) earliest(t int64) Date {
	d := r.date(t)
	if r.close > day {
		if yesterday := d.AddDays(-1); r.clock(yesterday, r.close) > t {
			return yesterday
		}
	}
	return d
}

// next returns the first span with support from t on.
func (r *hours) next(t int64) (start, end int64, err error) {
	d := r.earliest(t)
	for tries := 0; ; tries++ {
		var short bool
		d, short, err = r.supportDay(d)
		if err != nil {
			return 0, 0, err
		}
		start, end = r.window(d, short)
		if end > t && end > start {
			break
		}
		if tries > far {
			return 0, 0, fmt.Errorf("cannot find a working day that is longer than the hour by which it is shortened: %w; check the hours", ErrNever)
		}
		d.n++
	}
	if r.close-r.open < day-hour { // it cannot touch the next one, even if the clocks are put forward
		return max(start, t), end, nil
	}
	for range far {
		d.n++
		support, short, err := r.support(d)
		if err != nil || !support {
			// Where the data end, the window up to there is still correct.
			break
		}
		open, close := r.window(d, short)
		if open > end || close <= open {
			break
		}
		end = max(end, close)
	}
	return max(start, t), end, nil //nolint:nilerr // see the break
}

func (r *hours) contain(t int64) (bool, error) {
	for d, last := r.earliest(t), r.date(t); d.n <= last.n; d.n++ {
		support, short, err := r.support(d)
		if err != nil {
			return false, err
		}
		if open, close := r.window(d, short); support && open <= t && t < close {
			return true, nil
		}
	}
	return false, nil
}

// between returns the support time in [from, to). Where possible, days that are
// wholly inside are counted instead of visited.
func (r *hours) between(from, to int64) (time.Duration, error) {
	if from == to {
		return 0, nil
	}
	var sum int64
	first, last := r.earliest(from), r.date(to-1)
	// from and to may cut the windows of the first and the last day, and those of
	// the two first and the two last days if windows end on the next day.
	edge := int32(1)
	if r.close > day {
		edge = 2
	}
	quick := r.fixed && r.ru != nil && r.close-r.open > r.cut
	for d := first; d.n <= last.n; d.n++ {
		if inner := int(last.n - edge - d.n + 1); quick && d.n == first.n+edge && inner > 0 {
			i := r.ru.index(d)
			if i < 0 || i+inner > len(r.ru.kinds) {
				return 0, r.ru.beyond(d.AddDays(inner))
			}
			days := int64(r.set.count(i, i+inner))
			short := int64(r.set.countBoth(r.ru.short, i, i+inner))
			sum += days*(r.close-r.open) - short*r.cut
			d = d.AddDays(inner)
		}
		support, short, err := r.support(d)
		if err != nil {
			return 0, err
		}
		if !support {
			continue
		}
		if open, close := r.window(d, short); open < to && close > from {
			sum += min(close, to) - max(open, from)
		}
	}
	return time.Duration(sum), nil
}
