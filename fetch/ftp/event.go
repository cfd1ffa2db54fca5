package ftp

import (
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
)

// EventRetry means that an operation on Path is tried again after Wait: Attempt,
// Err.
const EventRetry fetch.EventKind = "retry"

func (f *Source) observe(e fetch.Event) {
	if f.Observe == nil {
		return
	}
	e.Time = time.Now()
	e.Text = fmt.Sprintf("attempt %d failed, the next one follows in %v: %v", e.Attempt, e.Wait.Round(time.Second), e.Err)
	f.Observe(e)
}
