package install

import "time"

// A Status is how a run ended.
type Status string

// The statuses.
const (
	NotRun       Status = ""              // nothing was started, nothing has changed
	OK           Status = "ok"            // the installer says that it is done
	RebootNeeded Status = "reboot-needed" // done but for a restart of the machine
	Busy         Status = "busy"          // another installation is in progress: try again later
	Canceled     Status = "canceled"      // by the caller, or by a person at the machine
	Failed       Status = "failed"        // the installer says so, or was killed from outside
	TimedOut     Status = "timed-out"     // ended by us at its deadline
	Unknown      Status = "unknown"       // it ran, and how it ended cannot be known: ask the probe
)

// An Outcome is what became of an installer. That one says OK does not mean
// that the application works; see [Await].
type Outcome struct {
	Status Status
	// Code is the raw exit code, all 32 bits of it. A program that a signal
	// ended has 128 plus the signal's number, as shells say it. It means
	// nothing where the status is NotRun or Unknown.
	Code     uint32
	Meaning  string        // what happened, in words
	Next     string        // what to do; empty after a success
	Started  time.Time     // UTC
	Duration time.Duration // from the start to the end of its last process
	Log      string        // the file with its whole output
	OwnLog   string        // the log that the installer wrote by itself; empty if it wrote none
	Kind     Kind          // what it was run as: of use after [Auto]
	Attempts int           // how often it was started; more than once only after [Busy]
	// Tail is the end of the output, or of the installer's own log where it
	// printed nothing: at most 16 KiB, as UTF-8 without control characters
	// but line feed and tab. Text in the Russian code pages of Windows (866,
	// 1251) is converted. The installer may have printed anything, secrets
	// too: show it to operators only.
	Tail string
}
