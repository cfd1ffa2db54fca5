package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/schedule"
)

// firstOfYear is what R14 wants people to know.
const firstOfYear = "R14: this is the first update of a year: it takes longer, and has requirements of its own; read them first"

// A planDoc is what an update would do.
type planDoc struct {
	Schema string `json:"schema"` // aspupdate.plan/1
	rollback.Plan
	Slot        *rollback.Slot  `json:"slot,omitempty"`     // R13; none where any time will do
	Later       []rollback.Slot `json:"later,omitempty"`    // the next ones after it
	Passed      []passedDoc     `json:"passed,omitempty"`   // days without one, up to the last of them
	FirstOfYear bool            `json:"first_of_year"`      // R14
	Unfenced    []string        `json:"unfenced,omitempty"` // databases that keep users out for their snapshot alone
	Next        string          `json:"next,omitempty"`     // what to type to have it done
}

type passedDoc struct {
	Date   schedule.Date `json:"date"` // Moscow's
	Reason string        `json:"reason"`
}

func (s *site) planDoc(plan rollback.Plan, firstOfYear bool) planDoc {
	d := planDoc{Schema: "aspupdate.plan/1", Plan: plan, FirstOfYear: firstOfYear}
	for _, p := range s.conf.Postgres {
		if p.Unfenced != "" {
			d.Unfenced = append(d.Unfenced, p.Name)
		}
	}
	if !plan.Slot.LatestStart.IsZero() {
		d.Slot = &plan.Slot
	}
	return d
}

// when adds the next slots, and why there is none on the days between.
func (plan *planDoc) when(w rollback.Window, now time.Time) error {
	gate, ok := w.(window)
	if !ok {
		return nil
	}
	const slots = 3
	next, err := gate.planner.Plan(now, gate.estimate, slots)
	for i, s := range next.Slots {
		if i > 0 { // the first one is the plan's own
			plan.Later = append(plan.Later, rollback.Slot{Start: s.Start.UTC(), LatestStart: s.LatestStart.UTC()})
		}
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
			continue
		}
		p.line("  %s from %s to %s", part.Name, part.From, part.To)
	}
	if names := plan.Unauthenticated(); len(names) > 0 {
		p.line("  UNAUTHENTICATED, nobody vouches for the file: %s", strings.Join(names, ", "))
	}
	for _, o := range plan.Overrides {
		p.line("  left out: %s, because: %s", o.Rule, o.Reason)
	}
	if plan.Slot != nil {
		p.line("  R13: start from %s, until %s", p.time(plan.Slot.Start), p.time(plan.Slot.LatestStart))
	}
	for _, s := range plan.Later {
		p.line("       or  from %s, until %s", p.time(s.Start), p.time(s.LatestStart))
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
func (p *printer) back(b rollback.PlanBack) {
	what := "a ROLLBACK of update"
	if b.Undo {
		what = "the UNDO of the rollback"
	}
	p.line("  this is %s %s, from %s", what, b.Update, p.time(b.Since))
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

// A statusDoc is what the journal says.
type statusDoc struct {
	Schema      string                      `json:"schema"` // aspupdate.status/1
	Committed   map[string]rollback.Release `json:"committed"`
	Quarantined []quarantineDoc             `json:"quarantined"`
	Last        rollback.Outcome            `json:"last,omitempty"` // how the last update ended
	Pending     *pendingDoc                 `json:"pending,omitempty"`
	Back        *rollback.WayBack           `json:"back,omitempty"`  // what aspupdate rollback would go back to
	Aside       []rollback.WayBack          `json:"aside,omitempty"` // what rollbacks kept, until it is forgotten
	History     []rollback.Past             `json:"history"`         // oldest first
	Lacks       string                      `json:"lacks,omitempty"` // why the history is not all there
}

type quarantineDoc struct {
	Distribution string           `json:"distribution"`
	Release      rollback.Release `json:"release"`
	Since        time.Time        `json:"since"`
	Update       string           `json:"update"` // that was rolled back
}

type pendingDoc struct {
	Update   string           `json:"update"`
	Step     rollback.Step    `json:"step"`
	Way      rollback.Way     `json:"way"`
	Damaged  bool             `json:"damaged"` // an installer was, or may have been, started
	Outcome  rollback.Outcome `json:"outcome,omitempty"`
	Attempts int              `json:"attempts"`
	Why      string           `json:"why"`  // in words, with what to do
	Next     string           `json:"next"` // what to type next
}

func newStatusDoc(st rollback.Status) statusDoc {
	d := statusDoc{Schema: "aspupdate.status/1", Committed: st.Committed, Quarantined: []quarantineDoc{}, Last: st.Last, Back: st.Back, Aside: st.Aside, History: []rollback.Past{}}
	for _, q := range st.Quarantined {
		d.Quarantined = append(d.Quarantined, quarantineDoc{q.Part, q.Release, q.Since, q.Update})
	}
	if u := st.Pending; u != nil {
		d.Pending = &pendingDoc{u.Update, u.Step, u.Way, u.Damaged, u.Outcome, u.Attempts, st.Blocked().Error(), ""}
	}
	return d
}

func (st statusDoc) print(p *printer) {
	if len(st.History) == 0 && len(st.Committed) == 0 && st.Pending == nil {
		p.line("this program has updated nothing here yet; aspupdate check says what is installed")
	}
	for _, name := range slices.Sorted(maps.Keys(st.Committed)) {
		p.line("%s: committed %s", name, st.Committed[name])
	}
	for _, q := range st.Quarantined {
		p.line("%s: %s is quarantined since %s", q.Distribution, q.Release, p.time(q.Since))
	}
	if st.Last != "" {
		p.line("the last update: %s", st.Last)
	}
	switch b := st.Back; {
	case b == nil:
	case slices.ContainsFunc(b.Parts, func(part rollback.PlanPart) bool { return st.Committed[part.Name] != part.From }):
		p.line("no rollback of %s is possible any more: another version was adopted since", b.Update)
	default:
		what := "update"
		if b.Undo {
			what = "rollback"
		}
		p.line("aspupdate rollback would take %s %s back, to %s with its data of %s", what, b.Update, b.Versions(), p.time(b.Since))
	}
	for _, w := range st.Aside {
		p.line("kept aside by rollback %s: what was entered until %s, in %s; aspupdate forget --reason WHY %[1]s lets it go",
			w.Update, p.time(w.Since), strings.Join(slices.Sorted(maps.Values(w.Refs)), ", "))
	}
	const lines = 10
	for _, h := range st.History[max(0, len(st.History)-lines):] {
		p.past(h)
	}
	if st.Lacks != "" {
		p.line("the history is not all there: %s", st.Lacks)
	}
	if u := st.Pending; u != nil {
		p.line("pending: update %s, going %s, at %s, attempt %d", u.Update, u.Way, u.Step, u.Attempts+1)
		p.line("%s", u.Why)
		p.line("next: %s", u.Next)
	}
}

// past shows a line of the history.
func (p *printer) past(h rollback.Past) {
	var what []string
	for _, part := range h.Parts {
		if !part.Keep {
			what = append(what, fmt.Sprintf("%s %s to %s", part.Name, cmp.Or(part.From.Version, "nothing"), part.To.Version))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.Releases)) {
		what = append(what, name+" "+h.Releases[name].Version)
	}
	text := string(h.Step) + " " + cmp.Or(strings.Join(what, ", "), h.Update)
	switch {
	case h.Back != "":
		text = "rollback " + strings.Join(what, ", ")
	case h.Step == rollback.StepIntent:
		text = "update " + strings.Join(what, ", ")
	}
	if h.Step == rollback.StepIntent || h.Outcome != "" {
		text += ": " + cmp.Or(string(h.Outcome), "pending")
	}
	for _, o := range h.Overrides {
		text += ", " + o.Rule + " left out because: " + o.Reason
	}
	if h.Error != "" {
		text += ", " + strings.SplitN(h.Error, "\n", 2)[0]
	}
	if h.Reason != "" {
		text += ", because: " + h.Reason
	}
	p.line("%s  %s (%s)", p.time(h.Time), strings.ReplaceAll(text, "\n", "; "), h.Who)
}
