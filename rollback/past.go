package rollback

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Past is one line of an installation's history: an update, with how it
// ended, or a decision of a person's.
type Past struct {
	Step   Step      `json:"step"`             // intent: an update or an operator's rollback; adopt, lift, forget, retry, accept: a decision
	Time   time.Time `json:"time"`             // when it began or was made; UTC
	Ended  time.Time `json:"ended,omitzero"`   // UTC; zero for a decision, and while it is pending
	Update string    `json:"update,omitempty"` // id; of retry, accept and forget, that of the update they are about
	Who    string    `json:"who,omitempty"`    // user and host
	Reason string    `json:"reason,omitempty"` // of a decision and of an operator's rollback

	Parts     []PlanPart         `json:"parts,omitempty"`     // of an update
	Reverts   string             `json:"back,omitempty"`      // the update that an operator's rollback took back
	Overrides []Override         `json:"overrides,omitempty"` // of an update: the rules that were left out, and why
	Outcome   Outcome            `json:"outcome,omitempty"`   // "" while it is pending
	Error     string             `json:"error,omitempty"`     // of an update: what failed first
	Releases  map[string]Release `json:"releases,omitempty"`  // adopt, lift: by part
}

// PastUpdates tells what happened, oldest first, from the records of
// [ReadHistory] or [ReadJournal].
func PastUpdates(records []Record) []Past {
	var past []Past
	state := Status{Committed: map[string]Release{}}
	at := -1 // of the pending update
	for _, r := range records {
		outcome := Outcome("")
		state.apply(r)
		if state.Pending != nil {
			outcome = state.Pending.Outcome
		}
		switch r.Step {
		case StepIntent:
			p := Past{Step: r.Step, Time: r.Time, Update: r.Update, Who: r.Who, Reason: r.Reason, Parts: r.Plan.Parts, Overrides: r.Plan.Overrides}
			if r.Plan.Revert != nil {
				p.Reverts = r.Plan.Revert.Update
			}
			at, past = len(past), append(past, p)
			continue
		case StepAdopt, StepLift, StepForget, StepRetry, StepAccept:
			p := Past{Step: r.Step, Time: r.Time, Update: r.Update, Who: r.Who, Reason: r.Reason, Releases: r.Releases, Outcome: r.Outcome}
			if r.Step == StepForget {
				p.Update = r.Ref
			}
			past = append(past, p)
		}
		if at < 0 || r.Update != past[at].Update {
			continue
		}
		switch {
		case r.Step == StepEnd:
			past[at].Outcome, past[at].Ended, at = state.Last, r.Time, -1
			continue
		case r.Phase == Failed && past[at].Error == "":
			past[at].Error = r.Error
		}
		past[at].Outcome = outcome
	}
	return past
}

// String says in one line what was done and how it ended, without when and by
// whom.
func (p Past) String() string {
	var what []string
	for _, part := range p.Parts {
		if !part.Keep {
			what = append(what, part.Name+" "+cmp.Or(part.From.Version, "nothing")+" to "+part.To.Version)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Releases)) {
		what = append(what, name+" "+p.Releases[name].Version)
	}
	verb := string(p.Step)
	switch {
	case p.Reverts != "":
		verb = "rollback"
	case p.Step == StepIntent:
		verb = "update"
	}
	text := verb + " " + cmp.Or(strings.Join(what, ", "), p.Update)
	if p.Step == StepIntent || p.Outcome != "" {
		text += ": " + cmp.Or(string(p.Outcome), "pending")
	}
	for _, o := range p.Overrides {
		text += ", " + o.Rule + " left out"
		if o.Reason != p.Reason { // which follows
			text += " because: " + o.Reason
		}
	}
	if p.Error != "" {
		text += ", failed: " + strings.SplitN(p.Error, "\n", 2)[0]
	}
	if p.Reason != "" {
		text += ", because: " + p.Reason
	}
	return strings.ReplaceAll(text, "\n", "; ")
}
