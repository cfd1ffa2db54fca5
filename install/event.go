package install

import "time"

// An EventKind is the kind of an [Event], such as "started" or "healthy".
type EventKind string

const (
	eventWaived        EventKind = "waived"         // a check fails, and the command waives it
	eventRebootPending EventKind = "reboot-pending" // the machine already waits for a restart
	eventVerified      EventKind = "verified"       // the private copy has the expected hash
	eventStarted       EventKind = "started"        // the installer runs
	eventLingering     EventKind = "lingering"      // the installer has ended, processes that it started have not
	eventEnded         EventKind = "ended"          // all of its processes have ended
	eventBusy          EventKind = "busy"           // another installation is in progress: the installer will be started again
	eventSettling      EventKind = "settling"       // the installer of an earlier process was found running
	eventRestructuring EventKind = "restructuring"  // not healthy yet: R11's wait, R12's two phases
	eventHealthy       EventKind = "healthy"        // the expected version answers
)

// An Event is a step of a run or of a wait. Events arrive in order, in the
// goroutine of the caller; the work waits until the observer returns.
type Event struct {
	Time    time.Time // UTC
	Kind    EventKind
	Text    string        // the step in a sentence
	PID     int           // of the installer, with started and settling (0 if not known)
	Elapsed time.Duration // since the run or the wait began
}

func (e Event) String() string { return e.Text }
