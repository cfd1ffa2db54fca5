package schedule

// Workdays is a calendar of working days and days off; the default is [Russia].
//
// Day must be safe for concurrent use and always return the same for a date. Its
// error wraps [ErrBeyondData] where the calendar has no data.
type Workdays interface {
	Day(Date) (Day, error)
}

// A Day describes a date.
type Day struct {
	Kind  Kind
	Short bool   // whether law makes it an hour shorter than other working days
	Note  string // for people, often empty: which holiday, moved from where, the eve of which holiday
}

// Kind is what a day is to people who work Monday to Friday.
type Kind uint8

// The kinds of days.
const (
	Unknown        Kind = iota // beyond the data
	Workday                    // Monday to Friday
	WorkingWeekend             // a Saturday or Sunday that a decree makes a working day
	Weekend
	Holiday        // a public holiday, on any weekday
	MovedDayOff    // a weekend day or holiday was moved here, by law or decree
	DeclaredDayOff // off for another reason: the president's decree, the support's own day off
)

// Working reports whether k is a working day.
func (k Kind) Working() bool { return k == Workday || k == WorkingWeekend }

// String returns the kind in a few words.
func (k Kind) String() string {
	if k > DeclaredDayOff {
		k = Unknown
	}
	return [...]string{"unknown day", "working day", "working weekend", "weekend", "public holiday", "moved day off", "declared day off"}[k]
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
