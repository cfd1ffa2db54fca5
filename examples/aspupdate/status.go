package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/rollback"
)

// A statusDoc is the state that the journal records.
type statusDoc struct {
	Schema      string                      `json:"schema"` // aspupdate.status/1
	Committed   map[string]rollback.Release `json:"committed"`
	Quarantined []quarantineDoc             `json:"quarantined"`
	Last        rollback.Outcome            `json:"last,omitempty"` // how the last update ended
	Pending     *pendingDoc                 `json:"pending,omitempty"`
	Back        *rollback.RestorePoint      `json:"back,omitempty"`      // what aspupdate rollback would restore
	Aside       []rollback.RestorePoint     `json:"aside,omitempty"`     // what rollbacks set aside, until it is forgotten
	History     []rollback.HistoryEntry     `json:"history"`             // oldest first
	Updates     []endedDoc                  `json:"updates,omitzero"`    // with --last: of each distribution, newest first
	Lacks       string                      `json:"lacks,omitempty"`     // why the history is incomplete
	Working     *rollback.Holder            `json:"working,omitempty"`   // the process that is running now
	Fence       []rollback.FencePart        `json:"fence,omitempty"`     // what each part of the fence reports
	Closed      string                      `json:"closed,omitempty"`    // why users are kept out although nothing is pending
	Next        string                      `json:"next,omitempty"`      // what to type about that
	Server      *site.ServerState           `json:"server,omitempty"`    // what the server had when it was last asked
	Backups     []site.DataState            `json:"backups,omitempty"`   // age and size of the last snapshot, and of the last proof
	SelfTests   []site.SelfTest             `json:"selftests,omitempty"` // of each [[mssql]]
	Copies      *site.CopyState             `json:"copies,omitempty"`    // of the second place; none without [copies]
	Notify      *notifyState                `json:"notify,omitempty"`    // what could not be sent yet
	Unread      string                      `json:"unread,omitempty"`    // why some snapshots or copies are not counted
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
	Differs  []differsDoc     `json:"differs,omitempty"` // what was restored beside and is not what was backed up
	Why      string           `json:"why"`               // one sentence, with what to do
	Next     string           `json:"next"`              // what to type next; "" while a process is running
}

type differsDoc struct {
	Data        string   `json:"data"`
	Beside      string   `json:"beside"` // the name of what was restored
	Differences []string `json:"differences"`
}

func newStatusDoc(st rollback.Status) statusDoc {
	d := statusDoc{Schema: "aspupdate.status/1", Committed: st.Committed, Quarantined: []quarantineDoc{}, Last: st.Last, Back: st.RestorePoint, Aside: st.Aside, History: []rollback.HistoryEntry{}}
	for _, q := range st.Quarantined {
		d.Quarantined = append(d.Quarantined, quarantineDoc{q.Part, q.Release, q.Since, q.Update})
	}
	if u := st.Pending; u != nil {
		d.Pending = &pendingDoc{Update: u.Update, Step: u.Step, Way: u.Direction, Damaged: u.Damaged, Outcome: u.Outcome, Attempts: u.Attempts, Why: st.Blocked().Error()}
		if blocked, ok := errors.AsType[*rollback.Error](st.Blocked()); ok {
			for _, name := range slices.Sorted(maps.Keys(blocked.Differing)) {
				d.Pending.Differs = append(d.Pending.Differs, differsDoc{name, blocked.Differing[name][0], blocked.Differing[name][1:]})
			}
		}
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
	if t := st.Server; t != nil {
		for _, name := range slices.Sorted(maps.Keys(t.Newest)) {
			p.line("%s: the server had %s when it was last asked, %s", name, t.Newest[name], p.Time(t.At))
		}
	}
	st.printRestorePoints(p)
	st.printHistory(p)
	if st.Lacks != "" {
		p.line("the history is incomplete: %s", st.Lacks)
	}
	for _, t := range st.SelfTests {
		p.line("%s: %s", t.Data, t.Text)
	}
	if c := st.Copies; c != nil && (c.Failed != "" || c.Missing > 0) {
		p.line("%s", c)
	}
	if st.Notify != nil {
		p.line("%s", st.Notify)
	}
	if st.Unread != "" {
		p.line("some backups are not counted: %s", st.Unread)
	}
	st.printPending(p)
	if st.Closed != "" {
		for _, part := range st.Fence {
			p.line("%s", part)
		}
		p.line("%s", st.Closed)
		p.line("next: %s", st.Next)
	}
}

// printHistory prints the last entries of the history, or with --last a table in their place.
func (st statusDoc) printHistory(p *printer) {
	if st.Updates != nil {
		printEnded(p, st.Updates)
		return
	}
	const lines = 10
	for _, h := range st.History[max(0, len(st.History)-lines):] {
		p.line("%s  %s (%s)", p.Time(h.Time), h, h.Who)
	}
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
		var ids []string
		for _, ref := range w.Refs {
			ids = append(ids, backup.ID(ref))
		}
		slices.Sort(ids)
		p.line("set aside by rollback %s: what was entered until %s, in %s; aspupdate forget --reason WHY %[1]s gives it up",
			w.Update, p.Time(w.Since), strings.Join(ids, ", "))
	}
}

// printPending prints where the pending update is, and the process that runs it
// or else the next step.
func (st statusDoc) printPending(p *printer) {
	u := st.Pending
	if u != nil {
		p.line("pending: update %s, going %s, at step %s, attempt %d", u.Update, u.Way, u.Step, u.Attempts+1)
	}
	if u != nil {
		for _, d := range u.Differs {
			p.line("%s was restored beside as %q, and differs from its snapshot:", d.Data, d.Beside)
			for _, text := range d.Differences {
				p.line("  %s", text)
			}
		}
	}
	switch w := st.Working; {
	case w != nil:
		p.line("running: process %d on %s, %s since %s", w.PID, w.Host, w.Doing, p.Time(w.Since))
	case u != nil:
		p.line("%s", u.Why)
		p.line("next: %s", u.Next)
	}
}

func status(ctx context.Context, j *job) error {
	if n := j.cmd.Int("last"); n < 1 && j.cmd.IsSet("last") {
		return usage("--last %d: give how many updates of each distribution to show, 1 or more", n)
	}
	if j.cmd.Bool("watch") {
		return j.watchStatus(ctx)
	}
	file := j.cmd.String("metrics")
	if file == "-" && j.cmd.Bool("json") {
		return usage("--metrics - and --json exclude each other")
	}
	d, state, err := j.state(ctx)
	if err == nil && file != "-" {
		err = j.show.answer(*d)
	}
	if file != "" {
		err = errors.Join(err, j.measured(file, d, cmp.Or(err, state)))
	}
	return cmp.Or(err, state)
}

// state returns the state, and as an error the exit code that it has.
func (j *job) state(ctx context.Context) (doc *statusDoc, state, err error) {
	st, err := j.Status()
	if err != nil {
		return nil, nil, err
	}
	d := newStatusDoc(st)
	d.Server = j.ServerState()
	history, err := rollback.ReadHistory(j.Config.State)
	if err != nil {
		d.Lacks = err.Error() // does not block updates
	}
	d.History = append(d.History, history...)
	if j.cmd.IsSet("last") {
		d.Updates = lastEnded(d.History, j.cmd.Int("last"))
	}
	d.Notify = j.notifyState()
	if !j.incomplete {
		var backupsErr, copiesErr, testsErr error
		d.SelfTests, testsErr = j.SelfTests()
		d.Backups, backupsErr = j.Backups(time.Now())
		d.Copies, copiesErr = j.Copies(time.Now())
		if err := errors.Join(backupsErr, copiesErr, testsErr); err != nil {
			d.Unread = err.Error() // does not block updates
		}
	}
	if d.Working, err = rollback.LockHolder(j.Config.State); err != nil {
		return nil, nil, err
	}
	if st.Pending != nil && d.Working == nil {
		state = configured(j.cmd, pendingState(st))
		d.Pending.Next = hint(state)
		state = stated{state}
	}
	if !j.incomplete {
		d.Fence, err = j.Fence(ctx)
		switch {
		case errors.Is(err, site.ErrClosed):
			state = configured(j.cmd, err)
			d.Closed, d.Next = err.Error(), hint(state)
			state = stated{state}
		case err != nil:
			return nil, nil, err
		}
	}
	return &d, state, nil
}

// pendingState returns the error with which the update has ended so far.
func pendingState(st rollback.Status) error {
	p, outcome := st.Pending, rollback.Interrupted
	switch {
	case p.Outcome == rollback.NeedsOperator:
		outcome = p.Outcome
	case p.Outcome == "" && p.Step == "reboot":
		outcome = rollback.AwaitingReboot
	}
	state := &rollback.Error{Outcome: outcome, Update: p.Update, Op: string(p.Step), Err: rollback.ErrPending}
	if blocked, ok := errors.AsType[*rollback.Error](st.Blocked()); ok {
		state.Unkept, state.Differing = blocked.Unkept, blocked.Differing
	}
	return state
}

// A stated error decides the exit code of an answer that has printed it already.
type stated struct{ error }

func (s stated) Unwrap() error { return s.error }
