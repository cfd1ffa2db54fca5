package rollback

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A WayBack is what an operator may still go back to after a commit (R15),
// see [Update.RollBack]. The journal has one, of what was committed last.
type WayBack struct {
	Update string            `json:"update"`         // the committed update that it takes back
	Undo   bool              `json:"undo,omitempty"` // that update was an operator's rollback: this undoes it
	Since  time.Time         `json:"since"`          // when its snapshots were begun, UTC
	Parts  []PlanPart        `json:"parts"`          // from what is committed now to what was before
	Refs   map[string]string `json:"refs,omitempty"` // the snapshots to restore, by dataset

	// Counts are the rows by dataset and table when the snapshots were
	// made, where the target could tell, see [Counter].
	Counts map[string]map[string]int64 `json:"counts,omitempty"`
}

// Versions names what is gone back to, part by part.
func (w WayBack) Versions() string {
	var names []string
	for _, p := range w.Parts {
		names = append(names, p.Name+" "+p.To.Version)
	}
	return strings.Join(names, ", ")
}

// A PlanBack is what a plan of an operator's rollback says besides.
type PlanBack struct {
	Update string            `json:"update"`         // the committed update that is taken back
	Undo   bool              `json:"undo,omitempty"` // that update was an operator's rollback
	Since  time.Time         `json:"since"`          // UTC; what was entered after it is kept aside, not merged
	Refs   map[string]string `json:"refs,omitempty"` // the snapshots that are restored, by dataset
	// Entered is how many rows there are more, or fewer, than in the
	// snapshots, by dataset and table. A table with as many is left out,
	// though its rows may have been changed, and so is a dataset that cannot
	// tell. It moves while users work, and the plan's hash does not cover it.
	Entered map[string]map[string]int64 `json:"entered,omitempty"`
	// Unhealthy names the parts that do not answer as healthy now. They need
	// not become so if the rollback fails and today's state comes back. The
	// hash does not cover it.
	Unhealthy []string `json:"unhealthy,omitempty"`
}

// Rows says what Entered holds, in one line; "" if nothing is known of it.
func (b PlanBack) Rows() string {
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(b.Entered)) {
		for _, table := range slices.Sorted(maps.Keys(b.Entered[name])) {
			changed = append(changed, fmt.Sprintf("%s %s %+d", name, table, b.Entered[name][table]))
		}
	}
	return strings.Join(changed, ", ")
}

// String says in a sentence what going back costs. Times are UTC.
func (b PlanBack) String() string {
	if len(b.Refs) == 0 {
		return "no data is restored"
	}
	s := "everything entered since " + b.Since.UTC().Format(time.RFC3339) + " is kept aside in a snapshot and not merged"
	if rows := b.Rows(); rows != "" {
		s += "; rows since: " + rows
	}
	return s
}

func (b *PlanBack) unhealthy(part string) bool {
	return b != nil && slices.Contains(b.Unhealthy, part)
}

// PlanBack looks at the machine and returns what [Update.RollBack] would do,
// or a [*Refusal]. It takes no lock and writes nothing. The parts are those
// of [Status].Back, in that order, with their roles filled in, and the data
// is that of the update which is taken back.
//
// The installed version need not be healthy: that may be why it is left.
func (u *Update) PlanBack(ctx context.Context) (Plan, error) {
	if err := u.Check(); err != nil {
		return Plan{}, err
	}
	st, err := ReadStatus(u.Dir)
	if err != nil {
		return Plan{}, err
	}
	if err := st.Blocked(); err != nil {
		return Plan{}, err
	}
	return u.planBack(ctx, st)
}

func (u *Update) planBack(ctx context.Context, st Status) (Plan, error) {
	if err := u.fitsBack(st); err != nil {
		return Plan{}, err
	}
	w := st.Back
	b := &PlanBack{Update: w.Update, Undo: w.Undo, Since: w.Since, Refs: maps.Clone(w.Refs)}
	p := Plan{Back: b}
	for _, part := range u.Parts {
		pp := PlanPart{Name: part.Name, From: part.From, To: part.To, Keep: part.From.same(part.To)}
		got, err := u.look(ctx, part)
		switch {
		case err != nil:
			b.Unhealthy = append(b.Unhealthy, part.Name)
		case got != part.From.Version:
			return Plan{}, refuse(ReasonInstalled, part.Name, "version %q is installed, the rollback goes from %s; adopt it if it was installed by other means", got, part.From.Version)
		}
		if !pp.Keep {
			if err := u.checkInstallers(ctx, part); err != nil {
				return Plan{}, err
			}
		}
		p.Parts = append(p.Parts, pp)
	}
	if err := u.verifyRefs(ctx, b.Refs); err != nil {
		return Plan{}, err
	}
	for _, d := range u.Data {
		if diff := entered(w.Counts[d.Name], u.count(ctx, d)); len(diff) > 0 {
			if b.Entered == nil {
				b.Entered = map[string]map[string]int64{}
			}
			b.Entered[d.Name] = diff
		}
	}
	return u.complete(ctx, p)
}

// fitsBack refuses where the journal has no way back for these parts and
// this data. A restore that has nothing to restore must never count as one.
func (u *Update) fitsBack(st Status) error {
	w := st.Back
	if w == nil {
		return refuse(ReasonNothingToDo, "", "R15: the journal has no committed update to go back from")
	}
	same := len(w.Parts) == len(u.Parts) && len(w.Refs) == len(u.Data)
	for i := 0; same && i < len(w.Parts); i++ {
		want, have := w.Parts[i], u.Parts[i]
		same = want.Name == have.Name && have.Setup == Release{} && want.From.same(have.From) && want.To.same(have.To)
	}
	for i := 0; same && i < len(u.Data); i++ {
		same = w.Refs[u.Data[i].Name] != ""
	}
	if !same {
		return refuse(ReasonSetup, "", "update %s was committed with other parts or data than given; go back with those that it had", w.Update)
	}
	for _, part := range w.Parts {
		if was, ok := st.Committed[part.Name]; ok && !was.same(part.From) {
			return refuse(ReasonInstalled, part.Name, "%s was adopted after update %s: its snapshots are not of the version before", was, w.Update)
		}
	}
	return nil
}

// verifyRefs reads snapshots back from the disk.
func (u *Update) verifyRefs(ctx context.Context, refs map[string]string) error {
	for _, d := range u.Data {
		ref := refs[d.Name]
		if err := u.within(ctx, u.Deadlines.snapshot(), func(ctx context.Context) error { return d.Data.Verify(ctx, ref) }); err != nil {
			return refuse(ReasonBackup, d.Name, "R9: the snapshot %s: %w", ref, err)
		}
	}
	return nil
}

// RollBack is a person's decision to go back after a commit (R15): to the
// version before and to the data as it was before the update, or, after a
// rollback, forward again to what that one left. It takes a snapshot of
// today's state first, which is kept: what was entered since is not merged
// into the data that is restored, see [Status].Aside.
//
// Confirmed is the Hash of a plan from [Update.PlanBack] that the person was
// shown: if what would be done is no longer that, nothing is begun. The reason
// is recorded.
//
// The order: lock → recover what is pending → look at everything again →
// journal the intent → close the fence → stop the application → back every
// dataset up and read it back → guard, which re-reads the window, the Setups
// of both versions, and old and fresh snapshots → first damage: remove, where
// the kind needs it → restore every dataset → install → start → probe →
// commit → open the fence.
//
// The outcome is [Committed] once the version gone back to is committed. The
// version that was left is then quarantined; one that is gone back to is not
// any more. If a step fails today's state is brought back, data and Setup,
// and the outcome is [RolledBack]. After a crash [Update.Recover] goes on
// with it, as a person wanted it, until the attempts are used up. The error
// is as that of [Update.Run].
func (u *Update) RollBack(ctx context.Context, confirmed, reason string) (Result, error) {
	if strings.TrimSpace(reason) == "" {
		return Result{Outcome: Nothing}, refuse(ReasonSetup, "", "a decision needs a reason")
	}
	e, err := u.open("rolling back")
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	defer e.close()
	if e.st.Pending != nil {
		if res, err := e.recover(ctx); err != nil || res.Outcome == AwaitingReboot {
			return res, err
		}
	}
	now, err := u.planBack(ctx, e.st)
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	if confirmed == "" || confirmed != now.Hash {
		return Result{Outcome: Nothing}, refuse(ReasonPlanChanged, "", "what was confirmed is not what would be done now; look at the plan of the rollback and confirm its hash")
	}
	return e.carryOut(ctx, now, reason)
}

// Forget is a person's decision that the snapshots which an operator's
// rollback kept aside are no longer needed, see [Status].Aside. It deletes
// nothing and lets [Status.Needed] leave them out. The reason is recorded. Of
// u only Dir is needed, and Now, Who and Observe are used.
func (u *Update) Forget(update, reason string) error {
	if strings.TrimSpace(reason) == "" {
		return refuse(ReasonSetup, "", "a decision needs a reason")
	}
	if u.Dir == "" {
		return refuse(ReasonSetup, "", "no state folder is given")
	}
	e, err := u.begin("forgetting what was kept aside")
	if err != nil {
		return err
	}
	defer e.close()
	if err := e.st.Blocked(); err != nil {
		return err
	}
	if !slices.ContainsFunc(e.st.Aside, func(w WayBack) bool { return w.Update == update }) {
		return refuse(ReasonState, "", "nothing is kept aside by %q", update)
	}
	e.id, e.way = "", ""
	return e.record(Record{Step: StepForget, Phase: Done, Ref: update, Reason: reason, Who: u.who()}, nil)
}

// goBack is the first damage of an operator's rollback: it takes the version
// that is left off where the kind needs it, and restores the old snapshots.
func (e *engine) goBack(ctx context.Context, b *PlanBack) error {
	for i, part := range slices.Backward(e.u.Parts) {
		r, ok := part.Installer.(Remover)
		if !ok || b.Undo || e.plan().Parts[i].Keep {
			continue // an undo is an upgrade, which needs no removing
		}
		if err := e.do(ctx, StepRemove, part.Name, e.u.Deadlines.install(), func(ctx context.Context) error { return r.Remove(ctx, part.From) }); err != nil {
			return err
		}
	}
	return e.restoreAll(ctx, b.Refs)
}

// What counting may take: bytes that the journal keeps of one dataset's counts,
// and time, in which users are kept out.
const (
	maxCounts = 64 << 10
	countTime = time.Minute
)

// count asks a dataset for its rows. Counts are a service to people and no
// safety: what cannot be told, or is too much to keep, is left out.
func (u *Update) count(ctx context.Context, d Dataset) map[string]int64 {
	c, ok := d.Data.(Counter)
	if !ok {
		return nil
	}
	var counts map[string]int64
	err := u.within(ctx, countTime, func(ctx context.Context) (err error) {
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

// wayBack returns how an update that is now committed can be taken back, nil
// if a part of it was a first installation: nothing is no version to go to.
func (p *Pending) wayBack() *WayBack {
	b := p.Plan.Back
	w := &WayBack{Update: p.Update, Undo: b != nil && !b.Undo, Since: p.since, Refs: maps.Clone(p.Refs), Counts: maps.Clone(p.counts)}
	for _, part := range p.Plan.Parts {
		if part.From.Version == "" {
			return nil
		}
		w.Parts = append(w.Parts, PlanPart{Name: part.Name, From: part.commits(), To: part.From, Keep: part.Keep})
	}
	return w
}

// returned applies the commit of an operator's rollback: a person's word
// lifts the quarantine of what was gone back to, and what was left is
// quarantined, unless the rollback was an undo. Today's state, as it was, is
// kept aside; what was restored is live again and no longer aside.
func (s *Status) returned(r Record) {
	p := s.Pending
	for _, part := range p.Plan.Parts {
		if part.Keep {
			continue
		}
		s.lift(part.Name, part.To)
		if !p.Plan.Back.Undo {
			s.Quarantined = append(s.Quarantined, Quarantine{Part: part.Name, Release: part.From, Since: r.Time, Update: r.Update})
		}
	}
	s.Aside = slices.DeleteFunc(s.Aside, func(w WayBack) bool { return w.Update == p.Plan.Back.Update })
	if w := p.wayBack(); w != nil && len(w.Refs) > 0 {
		w.Counts = nil
		s.Aside = append(s.Aside, *w)
	}
}

// Needed returns the references of the snapshots that must not be pruned,
// sorted: those of the pending update, those that an operator's rollback would
// restore, and those that earlier ones kept aside. It is never nil.
func (s Status) Needed() []string {
	set := map[string]bool{}
	add := func(refs map[string]string) {
		for _, ref := range refs {
			set[ref] = true
		}
	}
	if p := s.Pending; p != nil {
		add(p.Refs)
		if p.Plan.Back != nil {
			add(p.Plan.Back.Refs)
		}
	}
	if s.Back != nil {
		add(s.Back.Refs)
	}
	for _, w := range s.Aside {
		add(w.Refs)
	}
	return append([]string{}, slices.Sorted(maps.Keys(set))...)
}
