package install

import "time"

// An EventKind is the kind of an [Event], such as "started" or "healthy".
type EventKind string

const (
	eventRebootPending EventKind = "reboot-pending" // the machine already waits for a restart
	eventVerified      EventKind = "verified"       // the private copy has the expected hash
	eventStarted       EventKind = "started"        // the installer runs
	eventLingering     EventKind = "lingering"      // the installer has ended, processes that it started have not
	eventLeft          EventKind = "left"           // the installer has ended, processes of the application live on
	eventWaiting       EventKind = "waiting"        // the installer seems to wait for an answer
	eventWarning       EventKind = "warning"        // the installer reports success, and its own log a failure
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
