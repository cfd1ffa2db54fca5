package ftp

import (
	"fmt"
	"time"
)

// An EventKind says what happened.
type EventKind string

// EventRetry means that an operation is tried again after Wait.
const EventRetry EventKind = "retry"

// An Event is what a [Source] reports while it works. It holds no secret.
type Event struct {
	Time time.Time
	Kind EventKind
	Text string // one sentence for people

	Path    string        // on the server
	Attempt int           // the attempt that failed, from 1 on
	Wait    time.Duration // until the next one
	Err     error
}

func (f *Source) observe(e Event) {
	if f.Observe == nil {
		return
	}
	e.Time = time.Now()
	e.Text = fmt.Sprintf("attempt %d failed, the next one follows in %v: %v", e.Attempt, e.Wait.Round(time.Second), e.Err)
	f.Observe(e)
}
