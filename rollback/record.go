package rollback

import "time"

// A Step is a stage of an update. Its text stands in journals that later
// versions of this package read.
type Step string

// The steps, in the order of an update and then of the rollback.
const (
	stepIntent     Step = "intent"      // the plan is journaled
	stepFence      Step = "fence"       // users are kept out
	stepStop       Step = "stop"        // the application is stopped
	stepSnapshot   Step = "snapshot"    // R9: a dataset is backed up
	stepGuard      Step = "guard"       // window, archive, snapshots, lock and journal are checked again
	stepInstall    Step = "install"     // the first damage: a part's installer runs
	stepReboot     Step = "reboot"      // the machine must restart
	stepStart      Step = "start"       // the application is started behind the fence
	stepMigrate    Step = "migrate"     // R11: a dataset is restructured for the new version
	stepProbe      Step = "probe"       // a part's health and version
	stepCommit     Step = "commit"      // the point of no return
	stepUnfence    Step = "unfence"     // users are let in
	stepTidy       Step = "tidy"        // what was kept for a fast rollback is dropped
	stepEnd        Step = "end"         // nothing is pending
	stepSettle     Step = "settle"      // an installer that is still running is waited for
	stepRemove     Step = "remove"      // rollback: the new version is removed
	stepKeep       Step = "keep"        // rollback: a snapshot of what is live, before it is restored over
	stepRestore    Step = "restore"     // rollback: R15, a dataset is restored
	stepRolledBack Step = "rolled-back" // rollback: its point of no return
	stepAbandoned  Step = "abandoned"   // nothing was damaged, nothing is changed

	stepRecover  Step = "recover"        // another process goes on with the update
	stepOperator Step = "needs-operator" // neither direction was possible
	stepRetry    Step = "retry"          // a person asked for another try
	stepAccept   Step = "accept"         // a person put things right by hand
	stepAdopt    Step = "adopt"          // a version installed by other means counts as committed
	stepLift     Step = "lift"           // a person lifted a quarantine
	stepForget   Step = "forget"         // a person no longer needs what was kept aside
	stepOpen     Step = "open"           // a person let users in
	stepCarry    Step = "carry"          // the state, carried over from the journal's segment before
	stepMark     Step = "mark"           // of events alone: the journal's end is marked in the kept directories
)

// The directions of an update: to the new version, or to the one before.
const (
	forward = "forward"
	back    = "back"
)

// An EventKind is how far a step is.
type EventKind string

// The kinds of events, besides "note": another process goes on, the machine must
// restart, or how far the migrations are. The begin of a step is durable before its side effect.
const (
	EventBegin  EventKind = "begin"  // a done or a failed follows
	EventDone   EventKind = "done"   //
	EventFailed EventKind = "failed" // Event.Text says why
	eventNote   EventKind = "note"   //
)

// An Event is one step of an update, as it is journaled. Observers see events
// in order and cannot veto.
type Event struct {
	Time    time.Time // UTC
	Kind    EventKind
	Text    string // one line for people
	Step    Step   //
	Subject string // the part or the dataset, "" if none

	direction string
	ref       string
	err       error // why the step failed; Text has it
}

// String returns the text.
func (e Event) String() string { return e.Text }

// event returns what the observer sees of a record.
func (r record) event(err error) Event {
	e := Event{Time: r.Time, Kind: r.Kind, Step: r.Step, Subject: r.Part, direction: r.Direction, ref: r.Ref, err: err}
	if r.Kind == EventBegin && (r.Step == stepRecover || r.Step == stepReboot) {
		e.Kind = eventNote
	}
	e.Text = string(r.Step)
	if r.Direction == back {
		e.Text = "rollback: " + e.Text
	}
	if r.Part != "" {
		e.Text += " " + r.Part
	}
	switch {
	case err != nil:
		e.Text += " " + string(r.Kind) + ": " + err.Error()
	case r.Ref != "" && r.Step != stepFence:
		e.Text += " " + r.Ref
	}
	return e
}

// A record is one entry of the journal. Together they are the audit trail:
// who did what when, from what to what, which rule was overridden and why.
type record struct {
	Time      time.Time `json:"time"`   // UTC
	Update    string    `json:"update"` // id of the update, "" for decisions outside one
	Step      Step      `json:"step"`
	Kind      EventKind `json:"phase"` // begin, done or failed
	Direction string    `json:"way,omitempty"`
	Part      string    `json:"part,omitempty"`   // the part or the dataset
	Ref       string    `json:"ref,omitempty"`    // snapshot: its reference; keep: likewise; fence: the boot; install, settle, reboot: the boot that must end; forget: the update
	Plan      *Plan     `json:"plan,omitempty"`   // intent
	Who       string    `json:"who,omitempty"`    // user and host, on intent and on decisions
	Reason    string    `json:"reason,omitempty"` // decisions, and the intent of an operator's rollback
	Error     string    `json:"error,omitempty"`  // failed: why

	Releases map[string]Release `json:"releases,omitempty"` // adopt, lift: by part
	Outcome  Outcome            `json:"outcome,omitempty"`  // accept: what things were accepted as
	Counts   map[string]int64   `json:"counts,omitempty"`   // snapshot: rows by table, where the target can count
	Journal  string             `json:"journal,omitempty"`  // the journal's identity, on its first record and on carry
	Carried  *Status            `json:"carried,omitempty"`  // carry: the state before
	Unkept   []string           `json:"unkept,omitempty"`   // retry: datasets that are restored though they cannot be kept

	Differing []string `json:"differing,omitempty"` // restore that failed: what stays beside and its differences; retry: datasets that are taken all the same
}
