package rollback

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

// ReadJournal returns the records of the newest segment.
func ReadJournal(dir string) ([]Record, error) {
	s, _, err := readJournal(dir)
	return s.records, err
}

func (p *Pending) Reboot() string        { return p.reboot }
func (j *journal) Append(r Record) error { return j.append(r) }
func (j *journal) Records() []Record     { return j.records }
func (j *journal) Check() error          { return j.check() }
func (j *journal) Close() error          { return j.close() }
func (j *journal) Rotate() error         { return j.rotate() }
func (l *Lock) Check() error             { return l.check() }
func (r record) Event(err error) Event   { return r.event(err) }

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
	StepProbe      = stepProbe
	StepCommit     = stepCommit
	StepUnfence    = stepUnfence
	StepTidy       = stepTidy
	StepEnd        = stepEnd
	StepRemove     = stepRemove
	StepRestore    = stepRestore
	StepRolledBack = stepRolledBack
	StepRecover    = stepRecover
	StepOperator   = stepOperator
	StepAccept     = stepAccept
	StepAdopt      = stepAdopt
	StepLift       = stepLift
	StepForget     = stepForget
	StepCarry      = stepCarry
)
