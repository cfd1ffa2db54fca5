package rollback

import "time"

// What the tests see of the journal.
type (
	Journal        = journal
	HistoryDetails = historyDetails
	Direction      = string
	Record         = record
)

var (
	OpenJournal = openJournal
	ReadRecords = readRecords // of the whole journal
	HistoryOf   = historyOf
	Replay      = replay
)

// Tune sets what only tests change.
func (u *Update) Tune(attempts int, interval time.Duration, bootID func() (string, error), who string) *Update {
	u.tuning = tuning{attempts: attempts, interval: interval, bootID: bootID, who: who}
	return u
}

// TuneFull sets why the journal takes no record, nil if it does.
func (u *Update) TuneFull(full func() error) *Update {
	u.tuning.full = full
	return u
}

// TuneMarks sets how long a kept directory is waited for, and what is done first.
func (u *Update) TuneMarks(deadline time.Duration, touch func(dir string)) *Update {
	u.tuning.markDeadline, u.tuning.markTouch = deadline, touch
	return u
}

// ReadJournal returns the records of the newest segment.
func ReadJournal(dir string) ([]Record, error) {
	s, _, err := readJournal(dir)
	return s.records, err
}

// ReadStatusWhile is ReadStatus, with something done after each reading of the journal.
func ReadStatusWhile(meanwhile func(), dir string, kept ...string) (Status, error) {
	return readStatus(dir, kept, func(dir string) (segment, []byte, error) {
		defer meanwhile()
		return readJournal(dir)
	})
}

func (e Event) Way() string                      { return e.direction }
func (e Event) Reference() string                { return e.ref }
func (e Event) Cause() error                     { return e.err }
func (p *Pending) References() map[string]string { return p.refs }
func (p *Pending) Reboot() string                { return p.reboot }
func (j *journal) Append(r Record) error         { return j.append(r) }
func (j *journal) Records() []Record             { return j.records }
func (j *journal) Check() error                  { return j.check() }
func (j *journal) Close() error                  { return j.close() }
func (j *journal) Rotate() error                 { return j.rotate() }
func (l *Lock) Check() error                     { return l.check() }
func (r record) Event(err error) Event           { return r.event(err) }

const (
	EventNote      = eventNote
	UseCommitted   = useCommitted
	UsePending     = usePending
	UseRollback    = useRollback
	UseQuarantined = useQuarantined
	Forward        = forward
	Back           = back
	StepIntent     = stepIntent
	StepFence      = stepFence
	StepStop       = stepStop
	StepSnapshot   = stepSnapshot
	StepGuard      = stepGuard
	StepInstall    = stepInstall
	StepReboot     = stepReboot
	StepStart      = stepStart
	StepMigrate    = stepMigrate
	StepProbe      = stepProbe
	StepCommit     = stepCommit
	StepUnfence    = stepUnfence
	StepTidy       = stepTidy
	StepEnd        = stepEnd
	StepRemove     = stepRemove
	StepKeep       = stepKeep
	StepRestore    = stepRestore
	StepRolledBack = stepRolledBack
	StepRecover    = stepRecover
	StepOperator   = stepOperator
	StepAccept     = stepAccept
	StepAdopt      = stepAdopt
	StepLift       = stepLift
	StepForget     = stepForget
	StepOpen       = stepOpen
	StepCarry      = stepCarry
)
