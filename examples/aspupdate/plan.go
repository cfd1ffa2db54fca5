package main

import (
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
)

// firstOfYear is printed before an update that R14 concerns.
const firstOfYear = "R14: this is the first update of a year: it takes longer and has its own requirements; read them first"

// A planDoc is what an update or a rollback would do.
type planDoc struct {
	Schema string `json:"schema"` // aspupdate.plan/1
	rollback.Plan
	Slot        *rollback.Slot  `json:"slot,omitempty"`     // R13; none if any time is allowed
	Later       []rollback.Slot `json:"later,omitempty"`    // the next slots after it
	Passed      []passedDoc     `json:"passed,omitempty"`   // the days without a slot, up to the last slot
	FirstOfYear bool            `json:"first_of_year"`      // R14
	Unfenced    []string        `json:"unfenced,omitempty"` // databases that keep users out for their snapshot alone
	Next        string          `json:"next,omitempty"`     // the command that carries the plan out
}

type passedDoc struct {
	Date   schedule.Date `json:"date"` // Moscow's
	Reason string        `json:"reason"`
}

// planDoc returns the document of a plan, or the error with which the plan was
// made.
func (j *job) planDoc(plan rollback.Plan, err error) (planDoc, error) {
	d := planDoc{Schema: "aspupdate.plan/1", Plan: plan, Unfenced: j.Config.Unfenced()}
	if !plan.Slot.LatestStart.IsZero() {
		d.Slot = &plan.Slot
	}
	return d, err
}

// when adds the next slots, and why the days between have none.
func (plan *planDoc) when(u *site.Update) error {
	const slots = 3
	next, err := u.Slots(time.Now(), slots)
	for _, s := range next.Slots[min(1, len(next.Slots)):] { // the first slot is the plan's own
		plan.Later = append(plan.Later, rollback.Slot{Start: s.Start.UTC(), LatestStart: s.LatestStart.UTC()})
	}
	for _, day := range next.Passed {
		plan.Passed = append(plan.Passed, passedDoc{day.Date, day.Why()})
	}
	return err
}

func (plan planDoc) print(p *printer) {
	p.line("plan %s", plan.Hash)
	if plan.Revert != nil {
		p.revert(*plan.Revert)
	}
	for _, part := range plan.Parts {
		if part.Keep {
			p.line("  %s stays at %s", part.Name, part.From)
		} else {
			p.line("  %s from %s to %s", part.Name, part.From, part.To)
		}
	}
	if names := plan.Unauthenticated(); len(names) > 0 {
		p.line("  UNAUTHENTICATED, the file is not vouched for: %s", strings.Join(names, ", "))
	}
	for _, o := range plan.Overrides {
		p.line("  overridden: %s, because: %s", o.Rule, o.Reason)
	}
	if plan.Slot != nil {
		p.line("  R13: start from %s, until %s", p.Time(plan.Slot.Start), p.Time(plan.Slot.LatestStart))
	}
	for _, s := range plan.Later {
		p.line("       or  from %s, until %s", p.Time(s.Start), p.Time(s.LatestStart))
	}
	for _, day := range plan.Passed {
		p.line("       not %s: %s", day.Date, day.Reason)
	}
	if len(plan.Unfenced) > 0 {
		p.line("  only the application's fence keeps users out of: %s", strings.Join(plan.Unfenced, ", "))
	}
	for _, n := range plan.Needs {
		p.line("  space: %d MB at %s for %s", n.Bytes>>20+1, n.Path, n.For)
	}
	for i, s := range plan.Steps {
		p.line("  %2d %s", i+1, strings.TrimSpace(string(s.Step)+" "+s.Part))
	}
	if plan.FirstOfYear {
		p.line("%s", firstOfYear)
	}
	if plan.Next != "" {
		p.line("next: %s", plan.Next)
	}
}

// revert prints what an operator's rollback costs.
func (p *printer) revert(b rollback.Revert) {
	what := "a ROLLBACK of update"
	if b.Undo {
		what = "the UNDO of the rollback"
	}
	p.line("  this is %s %s, to the data of %s", what, b.Update, p.Time(b.Since))
	if len(b.Refs) > 0 {
		p.line("  everything entered since then is set aside in a snapshot, not merged")
	}
	if rows := b.Rows(); rows != "" {
		p.line("  rows since: %s", rows)
	}
	if len(b.Unhealthy) > 0 {
		p.line("  not healthy now: %s", strings.Join(b.Unhealthy, ", "))
	}
}
