package watch

import "time"

// An EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	EventFailed    EventKind = "failed"    // a check or a report failed: Err
	EventRecovered EventKind = "recovered" // all of them succeed again
)

// An Event is what [Watch.Run] reports. It holds no secret.
type Event struct {
	Time time.Time
	Kind EventKind
	Text string // one sentence for people

	Distribution string // empty if it is about all of them
	Err          error
}

func (w *Watch) observe(e Event) {
	if w.Observe != nil {
		e.Time = time.Now()
		w.Observe(e)
	}
}
