package watch

import (
	"time"

	"github.com/aspupdate/aspupdate/fetch"
)

// The kinds of events of [Watch.Run].
const (
	EventFailed    fetch.EventKind = "failed"    // a check or a report failed: Err, Distribution
	EventRecovered fetch.EventKind = "recovered" // all of them succeed again
)

func (w *Watch) observe(e fetch.Event) {
	if w.Observe != nil {
		e.Time = time.Now()
		w.Observe(e)
	}
}
