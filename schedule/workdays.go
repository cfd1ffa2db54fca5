package schedule

// Workdays tells working days from days off.
//
// An implementation must be safe for concurrent use and give one answer for one
// date. Where it does not know, it returns an error that wraps [ErrBeyondData].
// [Russia] is the one that is used where none is given.
type Workdays interface {
	Day(Date) (Day, error)
}

// A Day says what kind of day a date is.
type Day struct {
	Kind  Kind
	Short bool   // a working day that law makes an hour shorter
	Note  string // for people, often empty: which holiday, moved from where, the eve of what
}

// Kind is what a day is to those who work Monday to Friday.
type Kind uint8

// The kinds of days.
const (
	Unknown        Kind = iota // the data do not reach so far
	Workday                    // Monday to Friday
	WorkingWeekend             // a Saturday or Sunday on which people work, by decree
	Weekend
	Holiday        // a public holiday, on whatever weekday
	MovedDayOff    // off since a weekend or holiday was moved here, by law or decree
	DeclaredDayOff // off for another reason: the president's decree, support's own day off
)

// Working reports whether people work on such a day.
func (k Kind) Working() bool { return k == Workday || k == WorkingWeekend }

// String returns the kind in a few words.
func (k Kind) String() string {
	names := [...]string{"unknown day", "working day", "working weekend", "weekend", "public holiday", "moved day off", "declared day off"}
	if int(k) < len(names) {
		return names[k]
	}
	return names[Unknown]
}

// String returns the kind of day and the note.
func (d Day) String() string {
	s := d.Kind.String()
	if d.Short {
		s = "short " + s
	}
	if d.Note != "" {
		s += ": " + d.Note
	}
	return s
}
