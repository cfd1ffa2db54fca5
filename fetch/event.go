package fetch

import (
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/version"
)

// An EventKind says what happened.
type EventKind string

// The kinds of a [Finder]'s events, with the fields of [Event] that they fill. "skipped" is the other one.
const (
	eventSkipped    EventKind = "skipped"    // something on the server was passed over: Skipped
	EventIncomplete EventKind = "incomplete" // a newer joint release is incomplete: Missing
)

// An Event is what a [Finder], and what works on a [Source], reports. It holds
// no secret.
type Event struct {
	Time time.Time
	Kind EventKind
	Text string // one sentence for people

	Distribution string // empty if it is about no distribution, or about all of them
	Version      version.Version
	Skipped      Skipped
	Missing      []Missing

	Path    string        // on the server
	Attempt int           // the attempt that failed, from 1 on
	Wait    time.Duration // until the next one
	Err     error
}

// observe reports an event. The goroutine that does the work calls Observe,
// one event after another: it should return quickly.
func (f Finder) observe(e Event) {
	if f.Observe == nil {
		return
	}
	e.Time = time.Now()
	switch e.Kind {
	case eventSkipped:
		e.Text = fmt.Sprintf("passed over: %s", e.Skipped)
	case EventIncomplete:
		e.Text = fmt.Sprintf("a newer joint release is incomplete: %v", e.Missing)
	}
	f.Observe(e)
}
