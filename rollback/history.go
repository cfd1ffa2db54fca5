package rollback

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// A HistoryEntry is one line of an installation's history: an update, with how
// it ended, or a person's decision. Its String is that line, without Time and
// Who.
type HistoryEntry struct {
	Time time.Time `json:"time"`          // when it began or was made; UTC
	Who  string    `json:"who,omitempty"` // user and host

	historyDetails // in its JSON
}

type historyDetails struct {
	Step   Step      `json:"step"`             // "intent": an update or an operator's rollback; "adopt", "lift", "forget", "open", "retry", "accept": a decision
	Ended  time.Time `json:"ended,omitzero"`   // UTC; zero for a decision, and while it is pending
	Closed time.Time `json:"closed,omitzero"`  // of an update: when users were first kept out, UTC; zero if they never were
	Opened time.Time `json:"opened,omitzero"`  // and let in again
	Update string    `json:"update,omitempty"` // id; of retry, accept and forget, that of the update they are about
	Reason string    `json:"reason,omitempty"` // of a decision and of an operator's rollback

	Parts     []PlanPart         `json:"parts,omitempty"`     // of an update
	Reverts   string             `json:"back,omitempty"`      // the update that an operator's rollback took back
	Overrides []Override         `json:"overrides,omitempty"` // of an update: the rules that were left out, and why
	Outcome   Outcome            `json:"outcome,omitempty"`   // "" while it is pending
	Error     string             `json:"error,omitempty"`     // of an update: what failed first
	Releases  map[string]Release `json:"releases,omitempty"`  // adopt, lift: by part
	Differing []string           `json:"differing,omitempty"` // retry: data that was put in place although it differs from its snapshot

	// Migrated has how long each migration of an update took that came to its end, in
	// the process that ended it.
	Migrated map[string]time.Duration `json:"-"`
}

// ReadHistory returns what was ever done in the state directory dir, oldest
// first, from the whole journal. It writes nothing. The state of the
// installation needs only [ReadStatus].
//
// A segment of the journal that is damaged, or missing, blocks no update. The
// error wraps [ErrDamaged] and names every such segment; all other entries come
// with it.
func ReadHistory(dir string) ([]HistoryEntry, error) {
	records, err := readRecords(dir)
	return historyOf(records), err
}

func historyOf(records []record) []HistoryEntry {
	var entries []HistoryEntry
	state := Status{Committed: map[string]Release{}}
	pending := -1 // the entry of the pending update
	begun := map[string]time.Time{}
	for _, r := range records {
		outcome := Outcome("")
		state.apply(r)
		if state.Pending != nil {
			outcome = state.Pending.Outcome
		}
		switch r.Step {
		case stepIntent:
			details := historyDetails{Step: r.Step, Update: r.Update, Reason: r.Reason, Parts: r.Plan.Parts, Overrides: r.Plan.Overrides}
			if r.Plan.Revert != nil {
				details.Reverts = r.Plan.Revert.Update
			}
			pending, entries = len(entries), append(entries, HistoryEntry{r.Time, r.Who, details})
			continue
		case stepAdopt, stepLift, stepForget, stepOpen, stepRetry, stepAccept:
			details := historyDetails{Step: r.Step, Update: r.Update, Reason: r.Reason, Releases: r.Releases, Outcome: r.Outcome, Differing: r.Differing}
			if r.Step == stepForget {
				details.Update = r.Ref
			}
			if r.Step == stepAccept && pending >= 0 && r.Outcome == Committed {
				entries[pending].accept(r.Releases)
			}
			if r.Step == stepOpen && pending >= 0 && !entries[pending].Closed.IsZero() { // before the update did it
				entries[pending].Opened = r.Time
			}
			entries = append(entries, HistoryEntry{r.Time, r.Who, details})
		}
		if pending < 0 || r.Update != entries[pending].Update {
			continue
		}
		e := &entries[pending]
		switch {
		case r.Step == stepFence && e.Closed.IsZero() && !e.leavesOut(ruleFence):
			e.Closed = r.Time
		case r.Step == stepUnfence && r.Kind == EventDone && !e.Closed.IsZero() && e.Opened.IsZero():
			e.Opened = r.Time
		}
		switch {
		case r.Step == stepMigrate && r.Kind == EventBegin:
			begun[r.Part] = r.Time
		case r.Step == stepMigrate && r.Kind == EventDone:
			if e.Migrated == nil {
				e.Migrated = map[string]time.Duration{}
			}
			e.Migrated[r.Part] = r.Time.Sub(begun[r.Part])
		}
		switch {
		case r.Step == stepEnd:
			e.Outcome, e.Ended, pending = state.Last, r.Time, -1
			continue
		case r.Step == stepFence && state.Pending != nil && state.Pending.Damaged: // a doubt about the fence, or it is closed again
		case r.Kind == EventFailed && e.Error == "":
			e.Error = r.Error
		}
		e.Outcome = outcome
	}
	return entries
}

// accept has an update end with the releases that a person found in place of its own.
func (e *historyDetails) accept(releases map[string]Release) {
	e.Parts = slices.Clone(e.Parts)
	for i, part := range e.Parts {
		if r, ok := releases[part.Name]; ok {
			e.Parts[i].To = r
		}
	}
}

// leavesOut reports whether an update left out a rule.
func (e historyDetails) leavesOut(rule string) bool {
	return slices.ContainsFunc(e.Overrides, func(o Override) bool { return o.Rule == rule })
}

// String returns in one line what was done and how it ended, without when and
// by whom.
func (e historyDetails) String() string {
	var what []string
	for _, part := range e.Parts {
		if !part.Keep {
			what = append(what, part.Name+" "+string(cmp.Or(part.From.Version, "nothing"))+" to "+string(part.To.Version))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Releases)) {
		what = append(what, name+" "+string(e.Releases[name].Version))
	}
	verb := string(e.Step)
	switch {
	case e.Reverts != "":
		verb = "rollback"
	case e.Step == stepIntent:
		verb = "update"
	}
	text := verb + " " + cmp.Or(strings.Join(what, ", "), e.Update)
	if e.Step == stepIntent || e.Outcome != "" {
		text += ": " + cmp.Or(string(e.Outcome), "pending")
	}
	for _, o := range e.Overrides {
		text += ", " + o.Rule + " left out"
		if o.Reason != e.Reason { // which follows
			text += " because: " + o.Reason
		}
	}
	if len(e.Differing) > 0 {
		text += ", although it differs: " + strings.Join(e.Differing, ", ")
	}
	if e.Error != "" {
		text += ", failed: " + strings.SplitN(e.Error, "\n", 2)[0]
	}
	if e.Reason != "" {
		text += ", because: " + e.Reason
	}
	return strings.ReplaceAll(text, "\n", "; ")
}
