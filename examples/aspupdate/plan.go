package main

import (
	"fmt"
	"slices"
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
	Proofs      []proofDoc      `json:"proofs,omitempty"`      // R9: those of the plan, durations in seconds
	Slot        *rollback.Slot  `json:"slot,omitempty"`        // R13; none if any time is allowed
	Later       []rollback.Slot `json:"later,omitempty"`       // the next slots after it
	Passed      []passedDoc     `json:"passed,omitempty"`      // the days without a slot, up to the last slot
	FirstOfYear bool            `json:"first_of_year"`         // R14
	Databases   site.Patterns   `json:"databases,omitempty"`   // what the patterns of [[postgres]] and [[mssql]] match
	Unfenced    []string        `json:"unfenced,omitempty"`    // databases that keep users out for their snapshot alone
	NoClone     []string        `json:"no_clone,omitempty"`    // databases that are backed up by a dump alone: a short update, a longer rollback
	LongestOut  float64         `json:"longest_out,omitempty"` // seconds: how long users are out if everything takes its longest and is rolled back
	LongestBy   []stepTimeDoc   `json:"longest_by,omitempty"`  // of an update: the steps that longest_out is made of
	Announce    float64         `json:"announce,omitempty"`    // seconds: how long ahead users are notified
	Copies      *site.CopyState `json:"copies,omitempty"`      // of the second place; none without [copies]
	Next        string          `json:"next,omitempty"`        // the command that carries the plan out

	announced bool // users are notified
}

// A proofDoc is when a backup like that of the update was last restored and compared.
type proofDoc struct {
	Data string    `json:"data"`
	At   time.Time `json:"at,omitzero"` // zero if that never happened
	Took float64   `json:"took"`        // seconds
}

// A stepTimeDoc is how long a step takes at most, for all parts and data together.
type stepTimeDoc struct {
	Step    string  `json:"step"`
	Longest float64 `json:"longest"` // seconds
}

type passedDoc struct {
	Date   schedule.Date `json:"date"` // Moscow's
	Reason string        `json:"reason"`
}

// planDoc returns the document of an update's plan, or the error with which the plan was
// made.
func (j *job) planDoc(u *site.Update, plan rollback.Plan, err error) (planDoc, error) {
	d := planDoc{Schema: "aspupdate.plan/1", Plan: plan, Databases: u.Databases, Unfenced: u.Unfenced, NoClone: u.NoClone}
	if j.announces() && plan.Revert == nil {
		d.Announce, d.announced = time.Duration(j.Config.Announce.Before).Seconds(), true
	}
	d.Copies, _ = j.Copies(time.Now()) // status says what cannot be read
	for _, proof := range plan.Proofs {
		d.Proofs = append(d.Proofs, proofDoc{proof.Data, proof.At, proof.Took.Seconds()})
	}
	if !plan.Slot.LatestStart.IsZero() {
		d.Slot = &rollback.Slot{Start: plan.Slot.Start.UTC(), LatestStart: plan.Slot.LatestStart.UTC()}
	}
	return d, err
}

// longest adds how long users are out at most.
func (plan *planDoc) longest(u *site.Update) {
	plan.FirstOfYear, plan.LongestOut = u.FirstOfYear, u.LongestOut().Seconds()
	for _, s := range u.LongestSteps() {
		plan.LongestBy = append(plan.LongestBy, stepTimeDoc{s.Step, s.Longest.Seconds()})
	}
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
	if plan.FirstOfYear {
		p.line("%s", firstOfYear)
	}
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
	for _, one := range plan.Databases {
		p.list("", "", "  %s, databases: %d: %s", one.Name, len(one.Data), one.Names())
	}
	p.proofs(plan.Plan.Proofs, plan.Databases)
	if c := plan.Copies; c != nil && (c.Missing > 0 || c.Failed != "") {
		p.line("  %s", c)
	}
	if plan.Slot != nil {
		p.line("  R13: start from %s, until %s", p.Time(plan.Slot.Start), p.Time(plan.Slot.LatestStart))
	}
	if plan.LongestOut > 0 {
		var by []string
		for _, s := range plan.LongestBy {
			by = append(by, s.Step+" "+span(time.Duration(s.Longest*float64(time.Second))))
		}
		p.line("  users out for at most %s", span(time.Duration(plan.LongestOut*float64(time.Second)))+after(": ", strings.Join(by, ", ")))
	}
	if plan.announced {
		lead := time.Duration(plan.Announce * float64(time.Second))
		p.line("  users are notified, and kept out %s later", span(lead))
		if plan.Slot != nil && lead > 0 {
			p.line("  so start the update by %s", p.Time(plan.Slot.LatestStart.Add(-lead)))
		}
	}
	for _, s := range plan.Later {
		p.line("       or  from %s, until %s", p.Time(s.Start), p.Time(s.LatestStart))
	}
	for _, day := range plan.Passed {
		p.line("       not %s: %s", day.Date, day.Reason)
	}
	if len(plan.Unfenced) > 0 {
		p.list("", "", "  only the application's fence keeps users out of: %s", strings.Join(plan.Unfenced, ", "))
	}
	if len(plan.NoClone) > 0 {
		p.line("  without a clone, so a shorter update and a longer rollback: %s", strings.Join(plan.NoClone, ", "))
	}
	for _, n := range plan.Needs {
		p.line("  space: %d MB at %s for %s", n.Bytes/1e6+1, n.Path, plan.Databases.Purposes(n.For))
	}
	plan.printSteps(p)
	if plan.Next != "" {
		p.line("next: %s", plan.Next)
	}
}

// printSteps prints the steps in order. Those with the databases of one pattern that follow each
// other are one line.
func (plan planDoc) printSteps(p *printer) {
	for i := 0; i < len(plan.Steps); {
		s, n := plan.Steps[i], 1
		one, _ := plan.Databases.Of(s.Part)
		for i+n < len(plan.Steps) && plan.Steps[i+n].Step == s.Step && slices.Contains(one.Data, plan.Steps[i+n].Part) {
			n++
		}
		if n == 1 {
			p.line("  %2d %s", i+1, strings.TrimSpace(string(s.Step)+" "+s.Part))
		} else {
			p.line("  %2d %s", i+1, string(s.Step)+" "+one.Name+", "+fmt.Sprint(n))
		}
		i += n
	}
}

// span returns a duration to the minute for people, such as "2 h 24 min".
func span(d time.Duration) string {
	d = (d + time.Minute - 1).Truncate(time.Minute)
	h, m := int(d.Hours()), int(d.Minutes())%60
	switch {
	case h == 0:
		return fmt.Sprintf("%d min", m)
	case m == 0:
		return fmt.Sprintf("%d h", h)
	}
	return fmt.Sprintf("%d h %d min", h, m)
}

// proofs prints which backups are known to be of use (R9). The databases of a pattern have one
// line, with the oldest of their proofs.
func (p *printer) proofs(list []rollback.Proof, patterns site.Patterns) {
	var never []string
	proven := map[string]rollback.Proof{}
	var order []string
	for _, proof := range list {
		if proof.At.IsZero() {
			never = append(never, proof.Data)
			continue
		}
		name := proof.Data
		if one, ok := patterns.Of(name); ok {
			name = one.Name
		}
		have, ok := proven[name]
		if !ok {
			order = append(order, name)
		}
		if !ok || proof.At.Before(have.At) {
			have.At = proof.At
		}
		have.Took += proof.Took
		proven[name] = have
	}
	for _, name := range order {
		p.line("  proven: a backup like that of %s was restored and compared on %s, which took %s", name, p.Time(proven[name].At), proven[name].Took.Round(time.Second))
	}
	if len(never) > 0 {
		p.list("", "", "  never restored and compared: a backup like that of %s; aspupdate prove does", strings.Join(patterns.Brief(never), ", "))
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
