package backup

import (
	"time"

	"github.com/aspupdate/aspupdate/internal/progress"
)

// An Event reports that a stage begins, or how far it is, about once a second.
type Event struct {
	Time time.Time // UTC
	Kind EventKind
	Text string // one line for people

	Snapshot string // its ID; "" in events of targets
	Name     string // as given to Take; "" in events of targets
	Bytes    int64  // of all files; 0 if not known yet

	Done, Total int64         // bytes of this stage; Done is 0 when it begins, Total if it is not known
	Rate        int64         // bytes a second, on average
	Left        time.Duration // an estimate, 0 if there is none
}

// An EventKind is a stage of a Store, or of a target, which has more of them.
type EventKind string

// The stages of a Store, in the order in which they come, and warnings.
const (
	EventBackup  EventKind = "backup"  // the target writes; Left is what Take took the last time under this name
	EventSeal    EventKind = "seal"    // hashing, syncing, writing the manifest
	EventVerify  EventKind = "verify"  // reading every byte back
	EventSealed  EventKind = "sealed"  // the snapshot exists
	EventRestore EventKind = "restore" // the target restores
	EventProve   EventKind = "prove"   // the target restores beside the live data and compares
	EventRemove  EventKind = "remove"  // Prune is about to remove the snapshot
	EventWarning EventKind = "warning" // a target took another way than usual, or found a risk
)

var eventTexts = map[EventKind]string{
	EventBackup: "backing up", EventSeal: "sealing", EventVerify: "verifying", EventSealed: "sealed",
	EventRestore: "restoring", EventProve: "proving", EventRemove: "removing",
}

func (s *Store) now() time.Time {
	if s.Now != nil {
		return s.Now().UTC()
	}
	return time.Now().UTC()
}

// observe reports that a stage begins. The progress p has what is known of it.
func (s *Store) observe(kind EventKind, snap Snapshot, p progress.Point) {
	if s.Observe == nil {
		return
	}
	if p.At.IsZero() {
		p.At = s.now()
	}
	e := Event{Time: p.At, Kind: kind, Text: snap.Name + ": " + eventTexts[kind], Snapshot: snap.ID, Name: snap.Name, Bytes: snap.Bytes(),
		Done: p.Done, Total: p.Total, Rate: p.Rate, Left: p.Left}
	if text := p.String(); text != "" {
		e.Text += ", " + text
	}
	s.Observe(e)
}

// meter reports how far a stage is that reads total bytes.
func (s *Store) meter(kind EventKind, snap Snapshot, total int64) *progress.Meter {
	if s.Observe == nil {
		return nil
	}
	return progress.New(total, s.now, func(p progress.Point) { s.observe(kind, snap, p) })
}
