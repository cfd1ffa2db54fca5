package install

import "time"

// A Status is how a run ended.
type Status string

// The statuses.
const (
	NotRun       Status = ""              // nothing was started, nothing has changed
	OK           Status = "ok"            // the installer reports success
	RebootNeeded Status = "reboot-needed" // success, and the machine must be restarted
	Busy         Status = "busy"          // another installation is in progress: try again later
	Canceled     Status = "canceled"      // by the caller, or by a person at the machine
	Failed       Status = "failed"        // the installer reports a failure, or was killed by another program
	TimedOut     Status = "timed-out"     // ended by the runner at its deadline
	Unknown      Status = "unknown"       // it ran, and how it ended cannot be known: query the probe
)

// An Outcome is the result of a run. OK does not mean that the application
// works; see [Await].
type Outcome struct {
	Status Status
	// Code is the raw exit code, all 32 bits of it. For a program that a signal
	// ended it is 128 plus the signal's number, as in shells. It has no meaning
	// where the status is NotRun or Unknown.
	Code     uint32
	Meaning  string        // what happened, in words
	Next     string        // what to do next; "" after a success
	Started  time.Time     // UTC
	Duration time.Duration // from the start to the end of its last process
	Log      string        // the file with its whole output
	OwnLog   string        // the log that the installer itself wrote; "" if it wrote none
	Kind     Kind          // what it was run as: useful after [Auto]
	Attempts int           // how often it was started; more than once only after [Busy]
	// Tail is the end of the output, or of the installer's own log where it
	// printed nothing: at most 16 KiB, as UTF-8 without control characters
	// except line feed and tab. Text in the Russian code pages of Windows (866,
	// 1251) is converted. The installer may have printed anything, also
	// secrets: show it to operators only.
	Tail string
}
