package install

import "time"

// An EventKind tells events apart.
type EventKind string

// The kinds of events.
const (
	EventWaived        EventKind = "waived"         // a check does not hold, and the command says that it need not
	EventRebootPending EventKind = "reboot-pending" // the machine waits for a restart from before
	EventVerified      EventKind = "verified"       // the private copy has the expected hash
	EventStarted       EventKind = "started"        // the installer runs
	EventLingering     EventKind = "lingering"      // the installer has ended, processes that it started have not
	EventEnded         EventKind = "ended"          // nothing of it runs any more
	EventBusy          EventKind = "busy"           // another installation was in its way: it will be started again
	EventSettling      EventKind = "settling"       // an installer of an earlier process was found running
	EventRestructuring EventKind = "restructuring"  // not healthy yet: R11's wait, R12's two phases
	EventHealthy       EventKind = "healthy"        // the expected version answers
)

// An Event is a step of a run or of a wait. Events come in order, from the
// goroutine that called; the work waits until the observer returns.
type Event struct {
	Time    time.Time // UTC
	Kind    EventKind
	Path    string        // the installer; "" while waiting for health
	PID     int           // of the installer, with started and settling (0 if not known)
	Log     string        // where its output goes
	Status  Status        // with ended
	Elapsed time.Duration // since the run or the wait began
	Text    string        // the step in a sentence
}

func (e Event) String() string { return e.Text }
