package fetch

import (
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/version"
)

// An EventKind says what happened.
type EventKind string

// The kinds of events, with the fields of [Event] that they fill.
const (
	EventSkipped    EventKind = "skipped"    // something on the server was passed over: Skipped
	EventIncomplete EventKind = "incomplete" // a newer joint release is incomplete: Missing
)

// An Event is what a [Finder] reports while it works. It holds no secret.
type Event struct {
	Time time.Time
	Kind EventKind
	Text string // one sentence for people

	Distribution string // empty with EventIncomplete
	Version      version.Version
	Skipped      Skipped
	Missing      []Missing
}

// observe reports an event. The goroutine that does the work calls Observe,
// one event after another: it should return quickly.
func (f Finder) observe(e Event) {
	if f.Observe == nil {
		return
	}
	e.Time = time.Now()
	switch e.Kind {
	case EventSkipped:
		e.Text = fmt.Sprintf("passed over: %s", e.Skipped)
	case EventIncomplete:
		e.Text = fmt.Sprintf("a newer joint release is incomplete: %v", e.Missing)
	}
	f.Observe(e)
}
