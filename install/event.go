package install

import "time"

// An EventKind is the kind of an [Event].
type EventKind string

// The kinds of events.
const (
	EventWaived        EventKind = "waived"         // a check fails, and the command waives it
	EventRebootPending EventKind = "reboot-pending" // the machine already waits for a restart
	EventVerified      EventKind = "verified"       // the private copy has the expected hash
	EventStarted       EventKind = "started"        // the installer runs
	EventLingering     EventKind = "lingering"      // the installer has ended, processes that it started have not
	EventEnded         EventKind = "ended"          // all of its processes have ended
	EventBusy          EventKind = "busy"           // another installation is in progress: the installer will be started again
	EventSettling      EventKind = "settling"       // the installer of an earlier process was found running
	EventRestructuring EventKind = "restructuring"  // not healthy yet: R11's wait, R12's two phases
	EventHealthy       EventKind = "healthy"        // the expected version answers
)

// An Event is a step of a run or of a wait. Events arrive in order, in the
// goroutine of the caller; the work waits until the observer returns.
type Event struct {
	Time    time.Time // UTC
	Kind    EventKind
	Text    string        // the step in a sentence
	Path    string        // the installer; "" while waiting for health
	PID     int           // of the installer, with started and settling (0 if not known)
	Log     string        // where its output goes
	Status  Status        // with ended
	Elapsed time.Duration // since the run or the wait began
}

func (e Event) String() string { return e.Text }
