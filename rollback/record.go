package rollback

import (
	"time"
)

// A Step is a stage of an update. The names are stable: they stand in
// journals that a later version of this package reads.
type Step string

// The steps, in the order of an update and then of the way back.
const (
	StepIntent     Step = "intent"      // the plan is journaled
	StepFence      Step = "fence"       // users are kept out
	StepStop       Step = "stop"        // the application is stopped
	StepSnapshot   Step = "snapshot"    // R9: a dataset is backed up
	StepGuard      Step = "guard"       // window, archive, snapshots, lock and journal are looked at again
	StepInstall    Step = "install"     // the first damage: a part's installer runs
	StepReboot     Step = "reboot"      // the machine must restart
	StepStart      Step = "start"       // the application is started behind the fence
	StepProbe      Step = "probe"       // a part's health and version
	StepCommit     Step = "commit"      // the point of no return
	StepUnfence    Step = "unfence"     // users are let in
	StepTidy       Step = "tidy"        // what was kept for a fast way back is dropped
	StepEnd        Step = "end"         // nothing is pending
	StepSettle     Step = "settle"      // way back: an installer still at work is waited for
	StepRemove     Step = "remove"      // way back: the new version is taken off
	StepRestore    Step = "restore"     // way back: R15, a dataset is restored
	StepRolledBack Step = "rolled-back" // way back: its point of no return
	StepAbandoned  Step = "abandoned"   // nothing was damaged, nothing is changed

	StepRecover  Step = "recover"        // another process takes the update over
	StepOperator Step = "needs-operator" // neither way was possible
	StepRetry    Step = "retry"          // a person asked for another try
	StepAccept   Step = "accept"         // a person put things right by hand
	StepAdopt    Step = "adopt"          // a version installed by other means is taken as committed
	StepLift     Step = "lift"           // a person lifted a quarantine
	StepForget   Step = "forget"         // a person needs no longer what was kept aside
	StepCarry    Step = "carry"          // the state, carried over from the journal's part before
)

// A Phase is where in a step things are.
type Phase string

// The phases of a step. Begin is durable before the step's side effect.
const (
	Begin  Phase = "begin"
	Done   Phase = "done"
	Failed Phase = "failed"
)

// A Direction is where an update goes: forward to the new version, or back to
// the one before.
type Direction string

// The directions.
const (
	Forward Direction = "forward"
	Back    Direction = "back"
)

// A RecordedPlan is a plan as the journal has it: of an update or, with what
// it takes back, of an operator's rollback.
type RecordedPlan struct {
	Plan
	Revert *Revert `json:"back,omitempty"`
}

// A Record is one entry of the journal. Together they are the audit trail:
// who did what when, from what to what, which rule was left out and why.
type Record struct {
	Time      time.Time     `json:"time"`   // UTC
	Update    string        `json:"update"` // id of the update, "" for decisions outside one
	Step      Step          `json:"step"`
	Phase     Phase         `json:"phase"`
	Direction Direction     `json:"way,omitempty"`
	Part      string        `json:"part,omitempty"`   // the part or the dataset
	Ref       string        `json:"ref,omitempty"`    // snapshot: by which it is found again; install, settle, reboot: the boot it waits to end; forget: the update
	Plan      *RecordedPlan `json:"plan,omitempty"`   // intent
	Who       string        `json:"who,omitempty"`    // user and host, on intent and on decisions
	Reason    string        `json:"reason,omitempty"` // decisions, and the intent of an operator's rollback
	Error     string        `json:"error,omitempty"`  // failed: why

	Releases map[string]Release `json:"releases,omitempty"` // adopt, lift: by part
	Outcome  Outcome            `json:"outcome,omitempty"`  // accept: what things were accepted as
	Counts   map[string]int64   `json:"counts,omitempty"`   // snapshot: rows by table, where the target can tell
	Carried  *Status            `json:"carried,omitempty"`  // carry: the state before
}

// An Event tells the observer of an update what happens, in order, as it is
// journaled. Observers cannot veto.
type Event struct {
	Record
	Err error // failed: why, unlike Record.Error not flattened to text
}

// String says in a line which step it is, and of what; on a way back also so;
// when it failed also why.
func (e Event) String() string {
	what := string(e.Step)
	if e.Direction == Back {
		what = string(e.Direction) + ": " + what
	}
	if e.Part != "" {
		what += " " + e.Part
	}
	switch {
	case e.Err != nil:
		what += " " + string(e.Phase) + ": " + e.Err.Error()
	case e.Ref != "":
		what += " " + e.Ref
	}
	return what
}
