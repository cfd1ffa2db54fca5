package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
)

// A statusDoc is the state that the journal records.
type statusDoc struct {
	Schema      string                      `json:"schema"` // aspupdate.status/1
	Committed   map[string]rollback.Release `json:"committed"`
	Quarantined []quarantineDoc             `json:"quarantined"`
	Last        rollback.Outcome            `json:"last,omitempty"` // how the last update ended
	Pending     *pendingDoc                 `json:"pending,omitempty"`
	Back        *rollback.RestorePoint      `json:"back,omitempty"`    // what aspupdate rollback would restore
	Aside       []rollback.RestorePoint     `json:"aside,omitempty"`   // what rollbacks set aside, until it is forgotten
	History     []rollback.HistoryEntry     `json:"history"`           // oldest first
	Lacks       string                      `json:"lacks,omitempty"`   // why the history is incomplete
	Working     *rollback.Holder            `json:"working,omitempty"` // the process that is running now
}

type quarantineDoc struct {
	Distribution string           `json:"distribution"`
	Release      rollback.Release `json:"release"`
	Since        time.Time        `json:"since"`
	Update       string           `json:"update"` // the one that was rolled back
}

type pendingDoc struct {
	Update   string           `json:"update"`
	Step     rollback.Step    `json:"step"`
	Way      string           `json:"way"`
	Damaged  bool             `json:"damaged"` // an installer was started, or may have been
	Outcome  rollback.Outcome `json:"outcome,omitempty"`
	Attempts int              `json:"attempts"`
	Why      string           `json:"why"`  // one sentence, with what to do
	Next     string           `json:"next"` // what to type next; "" while a process is running
}

func newStatusDoc(st rollback.Status) statusDoc {
	d := statusDoc{Schema: "aspupdate.status/1", Committed: st.Committed, Quarantined: []quarantineDoc{}, Last: st.Last, Back: st.RestorePoint, Aside: st.Aside, History: []rollback.HistoryEntry{}}
	for _, q := range st.Quarantined {
		d.Quarantined = append(d.Quarantined, quarantineDoc{q.Part, q.Release, q.Since, q.Update})
	}
	if u := st.Pending; u != nil {
		d.Pending = &pendingDoc{u.Update, u.Step, u.Direction, u.Damaged, u.Outcome, u.Attempts, st.Blocked().Error(), ""}
	}
	return d
}

func (st statusDoc) print(p *printer) {
	if len(st.History) == 0 && len(st.Committed) == 0 && st.Pending == nil {
		p.line("no update has run here yet; aspupdate check shows what is installed")
	}
	for _, name := range slices.Sorted(maps.Keys(st.Committed)) {
		p.line("%s: committed %s", name, st.Committed[name])
	}
	for _, q := range st.Quarantined {
		p.line("%s: %s is quarantined since %s", q.Distribution, q.Release, p.Time(q.Since))
	}
	if st.Last != "" {
		p.line("last update: %s", st.Last)
	}
	st.printRestorePoints(p)
	const lines = 10
	for _, h := range st.History[max(0, len(st.History)-lines):] {
		p.line("%s  %s (%s)", p.Time(h.Time), h, h.Who)
	}
	if st.Lacks != "" {
		p.line("the history is incomplete: %s", st.Lacks)
	}
	st.printPending(p)
}

// printRestorePoints prints what a rollback would restore, and what earlier ones set
// aside.
func (st statusDoc) printRestorePoints(p *printer) {
	switch b := st.Back; {
	case b == nil:
	case slices.ContainsFunc(b.Parts, func(part rollback.PlanPart) bool { return st.Committed[part.Name] != part.From }):
		p.line("%s cannot be rolled back any more: another version was adopted since", b.Update)
	default:
		what := "roll back update"
		if b.Undo {
			what = "undo rollback"
		}
		p.line("aspupdate rollback would %s %s, to %s with its data of %s", what, b.Update, b.Versions(), p.Time(b.Since))
	}
	for _, w := range st.Aside {
		p.line("set aside by rollback %s: what was entered until %s, in %s; aspupdate forget --reason WHY %[1]s gives it up",
			w.Update, p.Time(w.Since), strings.Join(slices.Sorted(maps.Values(w.Refs)), ", "))
	}
}

// printPending prints where the pending update is, and the process that runs it
// or else the next step.
func (st statusDoc) printPending(p *printer) {
	u := st.Pending
	if u != nil {
		p.line("pending: update %s, going %s, at step %s, attempt %d", u.Update, u.Way, u.Step, u.Attempts+1)
	}
	switch w := st.Working; {
	case w != nil:
		p.line("running: process %d on %s, %s since %s", w.PID, w.Host, w.Doing, p.Time(w.Since))
	case u != nil:
		p.line("%s", u.Why)
		p.line("next: %s", u.Next)
	}
}

func status(_ context.Context, j *job) error {
	st, err := j.Status()
	if err != nil {
		return err
	}
	d := newStatusDoc(st)
	history, err := rollback.ReadHistory(j.Config.State)
	if err != nil {
		d.Lacks = err.Error() // does not block updates
	}
	d.History = append(d.History, history...)
	if d.Working, err = rollback.LockHolder(j.Config.State); err != nil {
		return err
	}
	if p := st.Pending; p != nil {
		state := &rollback.Error{Outcome: rollback.Interrupted}
		if p.Outcome == rollback.NeedsOperator {
			state.Outcome = p.Outcome
		}
		if d.Working == nil {
			d.Pending.Next = hint(configured(j.cmd, state))
		}
	}
	return j.show.answer(d)
}
