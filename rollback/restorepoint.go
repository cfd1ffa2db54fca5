package rollback

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// A RestorePoint is what an operator may still go back to after a commit
// (R15), see [Update.Revert]. The journal has one, of what was committed last.
type RestorePoint struct {
	Update string            `json:"update"`          // the committed update that going back takes back
	Undo   bool              `json:"undo,omitempty"`  // that update was an operator's rollback: going back undoes it
	Since  time.Time         `json:"since"`           // when its snapshots were begun, UTC
	Parts  []PlanPart        `json:"parts,omitempty"` // from what is committed now to what was before
	Refs   map[string]string `json:"refs,omitempty"`  // the snapshots to restore, by dataset

	// Counts are the rows by dataset and table when the snapshots were made,
	// where they were counted.
	Counts map[string]map[string]int64 `json:"counts,omitempty"`
}

// Versions lists the versions to roll back to, part by part.
func (r RestorePoint) Versions() string {
	var names []string
	for _, p := range r.Parts {
		names = append(names, p.Name+" "+string(p.To.Version))
	}
	return strings.Join(names, ", ")
}

// restorePoint returns how an update that is now committed can be undone,
// nil if a part of it was a first installation.
func (p *Pending) restorePoint() *RestorePoint {
	point := &RestorePoint{
		Update: p.Update, Undo: p.Plan.Revert != nil && !p.Plan.Revert.Undo, Since: p.since,
		Refs: maps.Clone(p.refs), Counts: maps.Clone(p.counts),
	}
	for _, part := range p.Plan.Parts {
		if part.From.Version == "" {
			return nil
		}
		point.Parts = append(point.Parts, PlanPart{Name: part.Name, From: p.commits(part), To: part.From, Keep: p.commits(part).same(part.From)})
	}
	return point
}

// restorePoints are all that the journal has.
func (s Status) restorePoints() []RestorePoint {
	if s.RestorePoint == nil {
		return s.Aside
	}
	return append(slices.Clone(s.Aside), *s.RestorePoint)
}

// Needed returns the references of the snapshots that must not be pruned,
// sorted: those of the pending update, those that an operator's rollback
// restores or would restore, and those that earlier ones kept aside. It is
// never nil.
func (s Status) Needed() []string {
	set := map[string]bool{}
	add := func(refs map[string]string) {
		for _, ref := range refs {
			set[ref] = true
		}
	}
	if p := s.Pending; p != nil {
		add(p.refs)
		add(p.keptRefs())
		if p.Plan.Revert != nil {
			add(p.Plan.Revert.Refs)
		}
	}
	for _, point := range s.restorePoints() {
		add(point.Refs)
	}
	return append([]string{}, slices.Sorted(maps.Keys(set))...)
}

// What counting may take: bytes that the journal keeps of one dataset's counts,
// and time, in which users are kept out.
const (
	maxCounts     = 64 << 10
	countDeadline = time.Minute
)

// count asks a dataset for its rows. Counts inform people and are no
// safeguard: what cannot be counted, or is too much to keep, is left out.
func (u *Update) count(ctx context.Context, d Dataset) map[string]int64 {
	c, ok := d.Data.(counter)
	if !ok {
		return nil
	}
	var counts map[string]int64
	err := u.within(ctx, countDeadline, func(ctx context.Context) (err error) {
		counts, err = c.Counts(ctx)
		return err
	})
	if b, jerr := json.Marshal(counts); err != nil || jerr != nil || len(b) > maxCounts {
		return nil
	}
	return maps.Clone(counts)
}

// entered returns the differences, if both sides are known.
func entered(then, now map[string]int64) map[string]int64 {
	if then == nil || now == nil {
		return nil
	}
	diff := map[string]int64{}
	for _, counts := range []map[string]int64{then, now} {
		for table := range counts {
			if d := now[table] - then[table]; d != 0 {
				diff[table] = d
			}
		}
	}
	return diff
}
