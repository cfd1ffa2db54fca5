package watch

import (
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
)

// SightingKind is what a [Watch] noticed.
type SightingKind string

// The kinds of sightings.
const (
	// Released: a version is there, with its Setup and settled. A version
	// that had vanished and is back with the same files is released again,
	// with its earlier FirstSeen.
	Released SightingKind = "released"
	// Rereleased: a known version has other files than before (R13): another
	// size, time or place of a variant. Whether the contents differ is known
	// when it is fetched; an archive keeps both. From a server that has no times
	// to the second, another file of the same size is noticed only if it is a
	// day and a half younger.
	Rereleased SightingKind = "re-released"
	// Vanished: a known version is not there any more. The vendor's server
	// keeps no history (R10), so that most versions vanish in the end.
	Vanished SightingKind = "vanished"
	// Late: a release that was expected has not come (R5).
	Late SightingKind = "late"
)

// Seen is what a [Watch] remembers of a version.
type Seen struct {
	// Release is as it was found last. From [Watch.Seen], and once it has
	// vanished, its files are as they are remembered.
	fetch.Release

	FirstSeen time.Time // UTC; of the first check that found it released
	Gone      time.Time // UTC, and never before FirstSeen, whatever the clock did; of the first check that did not find it; zero if it is there

	// FirstCheck reports that it was there at the first check of its
	// distribution already: when it appeared is unknown.
	FirstCheck bool
}

// Appeared returns when the version appeared on the server, as far as that is
// known: FirstSeen, or the zero time if it was there at the first check. This
// is what package schedule needs of a sighting.
func (s Seen) Appeared() time.Time {
	if s.FirstCheck {
		return time.Time{}
	}
	return s.FirstSeen
}

// A Sighting is what a [Watch] reports.
type Sighting struct {
	Kind SightingKind
	Seen // with Late, the distribution alone

	Due time.Time // with Late: when the release was expected, from [Watch.Late]
}

// String returns the sighting in one line.
func (s Sighting) String() string {
	switch {
	case s.Kind == Late:
		return fmt.Sprintf("%s: %s, due since %s", s.Kind, names.Show(s.Distribution), s.Due.Format("2006-01-02 15:04 MST"))
	case s.Kind == Released && s.FirstCheck:
		return fmt.Sprintf("%s: %s, there at the first check", s.Kind, s.Release)
	}
	return fmt.Sprintf("%s: %s", s.Kind, s.Release)
}
