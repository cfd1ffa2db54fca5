package main

import (
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/examples/internal/site"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
)

// firstOfYear is what R14 wants people to know.
const firstOfYear = "R14: this is the first update of a year: it takes longer, and has requirements of its own; read them first"

// A planDoc is what an update would do.
type planDoc struct {
	Schema string `json:"schema"` // aspupdate.plan/1
	rollback.Plan
	Back        *rollback.Revert `json:"back,omitempty"`     // an operator's rollback: what it takes back
	Slot        *rollback.Slot   `json:"slot,omitempty"`     // R13; none where any time will do
	Later       []rollback.Slot  `json:"later,omitempty"`    // the next ones after it
	Passed      []passedDoc      `json:"passed,omitempty"`   // days without one, up to the last of them
	FirstOfYear bool             `json:"first_of_year"`      // R14
	Unfenced    []string         `json:"unfenced,omitempty"` // databases that keep users out for their snapshot alone
	Next        string           `json:"next,omitempty"`     // what to type to have it done
}

type passedDoc struct {
	Date   schedule.Date `json:"date"` // Moscow's
	Reason string        `json:"reason"`
}

// planDoc is the document of a plan that was made.
func (j *job) planDoc(plan rollback.Plan, err error) (planDoc, error) {
	d := planDoc{Schema: "aspupdate.plan/1", Plan: plan, Unfenced: j.Config.Unfenced()}
	if !plan.Slot.LatestStart.IsZero() {
		d.Slot = &plan.Slot
	}
	if err == nil {
		d.FirstOfYear, err = site.CrossesYear(plan.Parts)
	}
	return d, err
}

// revertDoc is the document of an operator's rollback.
func (j *job) revertDoc(plan rollback.RevertPlan, err error) (planDoc, error) {
	d, err := j.planDoc(plan.Plan, err)
	d.Back, d.FirstOfYear = &plan.Revert, false
	return d, err
}

// when adds the next slots, and why there is none on the days between.
func (plan *planDoc) when(u *rollback.Update) error {
	const slots = 3
	next, err := site.Slots(u, time.Now(), slots)
	for _, s := range next.Slots[min(1, len(next.Slots)):] { // the first one is the plan's own
		plan.Later = append(plan.Later, rollback.Slot{Start: s.Start.UTC(), LatestStart: s.LatestStart.UTC()})
	}
	for _, day := range next.Passed {
		_, reason, _ := strings.Cut(day.String(), ": ")
		plan.Passed = append(plan.Passed, passedDoc{day.Date, reason})
	}
	return err
}

func (plan planDoc) print(p *printer) {
	p.line("plan %s", plan.Hash)
	if plan.Back != nil {
		p.back(*plan.Back)
	}
	for _, part := range plan.Parts {
		if part.Keep {
			p.line("  %s stays at %s", part.Name, part.From)
		} else {
			p.line("  %s from %s to %s", part.Name, part.From, part.To)
		}
	}
	if names := plan.Unauthenticated(); len(names) > 0 {
		p.line("  UNAUTHENTICATED, nobody vouches for the file: %s", strings.Join(names, ", "))
	}
	for _, o := range plan.Overrides {
		p.line("  left out: %s, because: %s", o.Rule, o.Reason)
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
		p.line("  room: %d MB at %s for %s", n.Bytes>>20+1, n.Path, n.For)
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

// back says what a person's rollback costs.
func (p *printer) back(b rollback.Revert) {
	what := "a ROLLBACK of update"
	if b.Undo {
		what = "the UNDO of the rollback"
	}
	p.line("  this is %s %s, from %s", what, b.Update, p.Time(b.Since))
	if len(b.Refs) > 0 {
		p.line("  everything entered since then is kept aside in a snapshot, and not merged")
	}
	if rows := b.Rows(); rows != "" {
		p.line("  rows since: %s", rows)
	}
	if len(b.Unhealthy) > 0 {
		p.line("  not healthy now: %s", strings.Join(b.Unhealthy, ", "))
	}
}
