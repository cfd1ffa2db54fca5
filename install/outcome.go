package install

import (
	"fmt"
	"time"
)

// A Status is how a run ended; "" means that nothing was started, "timed-out"
// that the runner ended the installer at its deadline.
type Status string

// The statuses.
const (
	notRun       Status = ""              // nothing was started, nothing has changed
	OK           Status = "ok"            // the installer reports success
	RebootNeeded Status = "reboot-needed" // success, and the machine must be restarted
	Busy         Status = "busy"          // another installation is in progress: try again later
	Canceled     Status = "canceled"      // by the caller, or by a person at the machine
	Failed       Status = "failed"        // the installer reports a failure, or was killed by another program
	timedOut     Status = "timed-out"     // ended by the runner at its deadline
	Unknown      Status = "unknown"       // it ran, and how it ended cannot be known: query the probe
)

// An Outcome is the result of a run. OK does not mean that the application
// works; see [Await].
type Outcome struct {
	Status Status
	// Code is the raw exit code, all 32 bits of it. For a program that a signal
	// ended it is 128 plus the signal's number, as in shells. It has no meaning
	// where nothing was started or the status is Unknown.
	Code    uint32
	Meaning string // what happened, in words
	Next    string // what to do next; "" after a success
	Log     string // the file with its whole output
	OwnLog  string // the log that the installer itself wrote; "" if it wrote none
	Kind    Kind   // what it was run as: useful after [Auto]
	// Tail is the end of the output, or of the installer's own log where it
	// printed nothing: at most 16 KiB, as UTF-8 without control characters
	// except line feed and tab. Text in the Russian code pages of Windows (866,
	// 1251) is converted. The installer may have printed anything, also
	// secrets: show it to operators only.
	Tail string

	started  time.Time     // UTC
	duration time.Duration // from the start to the end of its last process
	attempts int           // how often it was started; more than once only after [Busy]
}

// logs returns what an error adds about the log files.
func (o Outcome) logs() string {
	switch {
	case o.OwnLog != "":
		return fmt.Sprintf(" (logs: %s, %s)", o.OwnLog, o.Log)
	case o.Log != "":
		return fmt.Sprintf(" (log: %s)", o.Log)
	}
	return ""
}
