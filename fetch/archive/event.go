package archive

import (
	"fmt"
	"time"
)

// An EventKind says what happened.
type EventKind string

// The kinds of events, with the fields of [Event] that they fill besides Key. The others are
// "retry", "rerelease" and "damaged".
const (
	eventRetry     EventKind = "retry"     // another attempt follows after Wait: Err, Attempt
	EventResumed   EventKind = "resumed"   // a download is resumed at Done
	EventRestarted EventKind = "restarted" // a partial file was useless, and the download restarts: Err
	EventProgress  EventKind = "progress"  // Done of Total bytes, Rate, Left; at most four a second
	EventReused    EventKind = "reused"    // the archive has it already: Item
	EventArchived  EventKind = "archived"  // verified and published in the archive: Item
	eventRerelease EventKind = "rerelease" // the version was archived before with other contents: Item
	eventDamaged   EventKind = "damaged"   // an archived file no longer has its hash and was moved aside: Path, Err
	EventPruned    EventKind = "pruned"    // a version was removed from the archive, whole: Path
)

// An Event is what an [Archive] reports while it works. It holds no secret.
type Event struct {
	Time time.Time
	Kind EventKind
	Text string // one sentence for people

	Key  Key    // what it is about; what is not known yet is zero
	Path string // on the server, or in the archive

	Done, Total int64   // bytes
	Rate        float64 // bytes per second in this run; 0: not known yet

	Attempt int           // the attempt that failed, from 1 on
	Wait    time.Duration // until the next one
	Err     error
	Item    Item
}

func (e Event) text() string {
	switch e.Kind {
	case eventRetry:
		return fmt.Sprintf("attempt %d failed, the next one follows in %v: %v", e.Attempt, e.Wait.Round(time.Second), e.Err)
	case EventResumed:
		return fmt.Sprintf("%s: resumed at %d MB", e.Key, e.Done/1e6)
	case EventRestarted:
		return fmt.Sprintf("%s: restarted: %v", e.Key, e.Err)
	case EventProgress:
		text := fmt.Sprintf("%s: %d of %d MB", e.Key, e.Done/1e6, e.Total/1e6)
		const sane = 100 * 365 * 24 * time.Hour // more is as good as unknown
		if left := float64(e.Total-e.Done) / e.Rate; e.Rate > 0 && left > 0 && left < sane.Seconds() {
			text += fmt.Sprintf(", %.1f MB/s, %v left", e.Rate/1e6, time.Duration(left*float64(time.Second)).Round(time.Second))
		}
		return text
	case EventReused, EventArchived, eventRerelease:
		return fmt.Sprintf("%s %s, vouched for: %s", e.Kind, e.Item.Key, e.Item.Vouched)
	case eventDamaged:
		return fmt.Sprintf("a damaged file was moved to %s: %v", e.Path, e.Err)
	case EventPruned:
		return fmt.Sprintf("removed: %s", e.Path)
	}
	return string(e.Kind)
}

// observe reports an event. The goroutine that does the work calls Observe,
// one event after another: it should return quickly.
func (a *Archive) observe(e Event) {
	if a.Observe == nil {
		return
	}
	e.Time, e.Text = time.Now(), e.text()
	a.Observe(e)
}
