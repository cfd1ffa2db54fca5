package fetch

import (
	"fmt"
	"time"
)

// EventKind says what happened.
type EventKind string

// The kinds of events, with the fields of [Event] that they fill besides Key.
const (
	EventSkipped    EventKind = "skipped"    // something on the server was passed over: Skipped
	EventIncomplete EventKind = "incomplete" // a newer joint release is not whole yet: Missing
	EventRetry      EventKind = "retry"      // will be tried again after Wait: Err, Try
	EventResumed    EventKind = "resumed"    // a download goes on at Done
	EventRestarted  EventKind = "restarted"  // a partial file was of no use, from the start again: Err
	EventProgress   EventKind = "progress"   // Done of Total bytes, Rate, Left; at most four a second
	EventReused     EventKind = "reused"     // the archive has it already: Item
	EventArchived   EventKind = "archived"   // verified and published in the archive: Item
	EventRerelease  EventKind = "rerelease"  // the version was archived before with other contents: Item
	EventDamaged    EventKind = "damaged"    // an archived file no longer has its hash and was moved aside: Path, Err
	EventPruned     EventKind = "pruned"     // a version was removed from the archive, whole: Path

	EventLookFailed    EventKind = "look failed"    // a Watch could not look or report, told once: Err
	EventLookRecovered EventKind = "look recovered" // nothing of that goes wrong any more
)

// An Event tells what goes on, for people and for logs. It holds no secret.
type Event struct {
	Kind EventKind
	Key  Key    // of what; parts that are not known yet are zero
	Path string // on the server, or in the archive

	Done, Total int64         // bytes
	Rate        float64       // bytes per second in this run; 0: not known yet
	Left        time.Duration // time left at that rate; 0: not known yet

	Try     int           // the attempt that failed, from 1 on
	Wait    time.Duration // until the next one
	Err     error
	Skipped Skipped
	Missing []Missing
	Item    Item
}

// String says it in one line, for people.
func (e Event) String() string {
	switch e.Kind {
	case EventSkipped:
		return fmt.Sprintf("passed over: %s", e.Skipped)
	case EventIncomplete:
		return fmt.Sprintf("a newer joint release is not whole yet: %v", e.Missing)
	case EventRetry:
		return fmt.Sprintf("try %d failed, next in %v: %v", e.Try, e.Wait.Round(time.Second), e.Err)
	case EventResumed:
		return fmt.Sprintf("%s: going on at %d MB", e.Key, e.Done>>20)
	case EventRestarted:
		return fmt.Sprintf("%s: from the start again: %v", e.Key, e.Err)
	case EventProgress:
		text := fmt.Sprintf("%s: %d of %d MB", e.Key, e.Done>>20, e.Total>>20)
		if e.Left > 0 {
			text += fmt.Sprintf(", %.1f MB/s, %v left", e.Rate/(1<<20), e.Left.Round(time.Second))
		}
		return text
	case EventReused, EventArchived, EventRerelease:
		return fmt.Sprintf("%s %s, vouched for: %s", e.Kind, e.Item.Key, e.Item.Vouched)
	case EventDamaged:
		return fmt.Sprintf("a damaged file was moved aside: %s: %v", e.Path, e.Err)
	case EventPruned:
		return fmt.Sprintf("removed: %s", e.Path)
	case EventLookFailed:
		return e.Err.Error()
	case EventLookRecovered:
		return "looking goes well again"
	}
	return string(e.Kind)
}

// observe gives an event to whoever wants it. Observers are called one after
// another by the goroutine that does the work: they should return quickly.
func observe(to func(Event), e Event) {
	if to != nil {
		to(e)
	}
}
