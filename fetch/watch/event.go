package watch

import (
	"time"
)

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	EventFailed    EventKind = "failed"    // a Watch could not look or report, told once: Err
	EventRecovered EventKind = "recovered" // nothing of that goes wrong any more
)

// An Event is what [Watch.Run] reports. It holds no secret.
type Event struct {
	Time time.Time
	Kind EventKind
	Text string // one sentence for people

	Distribution string // empty if it concerns all of them
	Err          error
}

func (w *Watch) observe(e Event) {
	if w.Observe == nil {
		return
	}
	e.Time, e.Text = time.Now(), "looking goes well again"
	if e.Kind == EventFailed {
		e.Text = e.Err.Error()
	}
	w.Observe(e)
}
