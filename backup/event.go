package backup

import (
	"time"

	"github.com/aspupdate/aspupdate/internal/progress"
)

// An Event reports that a stage begins or, about once a second, its progress.
type Event struct {
	Time time.Time // UTC
	Kind EventKind
	Text string // one line for people

	Done, Total int64         // bytes of this stage; Done is 0 when it begins, Total if it is not known
	Rate        int64         // bytes a second, on average
	Left        time.Duration // an estimate, 0 if there is none
}

// An EventKind is a stage of a Store, or of a target, which has more of them. The
// stages of a Store are, in the order in which they come, "backup" (the target
// writes), "seal" (hashing, syncing, writing the manifest), "verify" (reading
// every byte back) and "sealed"; and "restore", "prove" and "remove".
type EventKind string

// Kinds of events of a Store.
const (
	eventBackup  EventKind = "backup" // Left is what Take took the last time under this name
	eventSeal    EventKind = "seal"
	eventVerify  EventKind = "verify"
	EventSealed  EventKind = "sealed" // the snapshot exists
	eventRestore EventKind = "restore"
	eventProve   EventKind = "prove"
	EventRemove  EventKind = "remove"  // Prune is about to remove the snapshot
	EventWarning EventKind = "warning" // a target took another way than usual, or found a risk
)

var eventTexts = map[EventKind]string{
	eventBackup: "backing up", eventSeal: "sealing", eventVerify: "verifying", EventSealed: "sealed",
	eventRestore: "restoring", eventProve: "proving", EventRemove: "removing",
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}

// observe reports that a stage begins. p is its progress, as far as it is known.
func (s *Store) observe(kind EventKind, snap Snapshot, p progress.Point) {
	if s.Observe == nil {
		return
	}
	if p.At.IsZero() {
		p.At = s.now()
	}
	e := Event{Time: p.At, Kind: kind, Text: snap.Name + ": " + eventTexts[kind],
		Done: p.Done, Total: p.Total, Rate: p.Rate, Left: p.Left}
	if kind == EventRemove { // many have the same name
		e.Text += " " + snap.ID
	}
	if text := p.String(); text != "" {
		e.Text += ", " + text
	}
	s.Observe(e)
}

// meter reports the progress of a stage that reads total bytes.
func (s *Store) meter(kind EventKind, snap Snapshot, total int64) *progress.Meter {
	if s.Observe == nil {
		return nil
	}
	return progress.New(total, s.now, func(p progress.Point) { s.observe(kind, snap, p) })
}
