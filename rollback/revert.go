package rollback

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A Revert is the [RestorePoint] that an operator's rollback goes back to, and
// what that costs. It has no Parts and no Counts: the plan has the parts.
type Revert struct {
	RestorePoint
	// Entered is how many rows there are more, or fewer, than in the
	// snapshots, by dataset and table. A table with as many is left out,
	// though its rows may have been changed, and so is a dataset that cannot
	// count. It moves while users work, and the plan's hash does not cover it.
	Entered map[string]map[string]int64 `json:"entered,omitempty"`
	// Unhealthy are the parts that are not healthy now. They need not become
	// so if the rollback fails and today's state comes back. The hash does
	// not cover it.
	Unhealthy []string `json:"unhealthy,omitempty"`
}

// Rows returns what Entered holds, in one line; "" if nothing is known of it.
func (r Revert) Rows() string {
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(r.Entered)) {
		for _, table := range slices.Sorted(maps.Keys(r.Entered[name])) {
			changed = append(changed, fmt.Sprintf("%s %s %+d", name, table, r.Entered[name][table]))
		}
	}
	return strings.Join(changed, ", ")
}

// String returns in a sentence what the rollback costs. Times are UTC.
func (r Revert) String() string {
	if len(r.Refs) == 0 {
		return "no data is restored"
	}
	s := "everything entered since " + r.Since.UTC().Format(time.RFC3339) + " is kept aside in a snapshot and not merged"
	if rows := r.Rows(); rows != "" {
		s += "; rows since: " + rows
	}
	return s
}

// PlanRevert checks the machine and returns what [Update.Revert] would do, or
// an [*Error] with the Reason for refusing. It takes no lock and writes
// nothing. The parts must be those of [Status].RestorePoint, in that order, and
// the data that of the update to undo. The installed version need
// not be healthy.
func (u *Update) PlanRevert(ctx context.Context) (Plan, error) {
	return u.unblocked(ctx, u.planRevert)
}

func (u *Update) planRevert(ctx context.Context, st Status) (Plan, error) {
	if err := u.fitsRestorePoint(st); err != nil {
		return Plan{}, err
	}
	point := *st.RestorePoint
	counts := point.Counts
	point.Refs, point.Parts, point.Counts = maps.Clone(point.Refs), nil, nil
	p := Plan{Revert: &Revert{RestorePoint: point}}
	for _, part := range u.Parts {
		pp := PlanPart{Name: part.Name, From: part.From, To: part.To, Keep: part.From.same(part.To)}
		got, err := u.probe(ctx, part)
		switch {
		case err != nil:
			p.Revert.Unhealthy = append(p.Revert.Unhealthy, part.Name)
		case got != part.From.Version:
			return Plan{}, refuse(ReasonInstalled, part.Name, "version %q is installed, the rollback starts from %s", got, part.From.Version).then(adoptNext)
		}
		if !pp.Keep {
			if err := u.checkInstallers(ctx, st, part); err != nil {
				return Plan{}, err
			}
		}
		p.Parts = append(p.Parts, pp)
	}
	if err := u.checkSnapshots(ctx, point.Refs, nil); err != nil {
		return Plan{}, err
	}
	for _, d := range u.Data {
		if diff := entered(counts[d.Name], u.count(ctx, d)); len(diff) > 0 {
			if p.Revert.Entered == nil {
				p.Revert.Entered = map[string]map[string]int64{}
			}
			p.Revert.Entered[d.Name] = diff
		}
	}
	if err := u.complete(ctx, &p); err != nil {
		return Plan{}, err
	}
	p.Steps = u.steps(p, reverting{*p.Revert}.steps(u, p))
	p.Hash = p.hash()
	return p, nil
}

// fitsRestorePoint refuses where the journal has no restore point for these
// parts and this data.
func (u *Update) fitsRestorePoint(st Status) error {
	point := st.RestorePoint
	if point == nil {
		return refuse(ReasonNothingToDo, "", "R15: the journal has no committed update to go back from")
	}
	if len(point.Refs) != len(u.Data) || slices.ContainsFunc(u.Data, func(d Dataset) bool { return point.Refs[d.Name] == "" }) ||
		!slices.EqualFunc(point.Parts, u.Parts, func(want PlanPart, have Part) bool { return have.Setup == Release{} && want.fits(have) }) {
		return refuse(ReasonSetup, "", "update %s was committed with other parts or data than given", point.Update).then("go back with those that it had")
	}
	for _, part := range point.Parts {
		if was, ok := st.Committed[part.Name]; ok && !was.same(part.From) {
			return refuse(ReasonInstalled, part.Name, "%s was adopted after update %s: its snapshots are not of the version before", was, point.Update)
		}
	}
	return nil
}

// Revert is the operator's rollback, a person's decision to go back after a
// commit (R15): to the version and the data from before the update, or, after
// such a rollback, forward again to what it left. It takes a snapshot of
// today's state first, which is kept: what was entered since is not merged
// into the data that is restored, see [Status].Aside.
//
// Confirmed is the Hash of a plan from [Update.PlanRevert] that the person was
// shown: if the plan has changed since, Revert refuses. The reason is recorded.
//
// The order is that of Run. The guard also re-reads the snapshots to restore,
// and the first damage is to remove, where the kind needs it, and to restore.
//
// The outcome is [Committed] once the version gone back to is committed; its
// quarantine is lifted, and the version that was left is quarantined. If a step
// fails, today's data and Setup are brought back, and the outcome is
// [RolledBack]. After a crash [Update.Recover] goes on with the rollback until
// the attempts are used up. The error is as that of [Update.Run].
func (u *Update) Revert(ctx context.Context, confirmed, reason string) (Result, error) {
	if err := given(reason); err != nil {
		return Result{Outcome: Nothing}, err
	}
	e, err := u.open("rolling back")
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	defer e.close()
	e.goesOn = true
	if res, err := e.recover(ctx); err != nil || res.Outcome == AwaitingReboot {
		return res, err
	}
	e.u, e.stop, e.counted = u, nil, false // recovery had the releases of another plan, and could be stopped
	now, err := u.planRevert(durable.Trying(ctx), e.st)
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	if confirmed == "" || confirmed != now.Hash {
		return Result{Outcome: Nothing}, refuse(ReasonPlanChanged, "", "the rollback that was confirmed is not what would be done now").then("plan the rollback again and confirm its hash")
	}
	return e.carryOut(ctx, now, reason)
}

// reverting is the course of an operator's rollback.
type reverting struct{ Revert }

// steps lists what is done between the guard and the installers.
func (c reverting) steps(u *Update, p Plan) (list []PlanStep) {
	for _, part := range c.removed(u, p) {
		list = append(list, PlanStep{stepRemove, part.Name})
	}
	for _, name := range p.Data {
		list = append(list, PlanStep{stepRestore, name})
	}
	return list
}

// removed returns the parts whose version must be removed, the last one first.
// An undo is an upgrade, which needs no removing.
func (c reverting) removed(u *Update, p Plan) (parts []Part) {
	for i, part := range slices.Backward(u.Parts) {
		if _, ok := part.Installer.(remover); ok && !c.Undo && !p.Parts[i].Keep {
			parts = append(parts, part)
		}
	}
	return parts
}

// verify reads back the snapshots that are restored.
func (c reverting) verify(ctx context.Context, u *Update) error {
	return u.checkSnapshots(ctx, c.Refs, nil)
}

// forward restores the old snapshots and installs the version before.
func (c reverting) forward(ctx context.Context, e *engine) (Result, error) {
	// With a part installed, this goes on after the restart that it asked
	// for, and the old data is in place already.
	if len(e.st.Pending.installed) == 0 {
		if err := c.restore(ctx, e); err != nil {
			return e.rollBack(ctx, err)
		}
	}
	return e.installAll(ctx)
}

// restore is the first damage.
func (c reverting) restore(ctx context.Context, e *engine) error {
	for _, part := range c.removed(e.u, e.plan()) {
		if err := e.remove(ctx, part, part.From); err != nil {
			return err
		}
	}
	return e.restoreAll(ctx, c.Refs)
}

// resume goes on with what a person decided: restoring and installing again is
// idempotent. A restart may have started the application.
func (c reverting) resume(ctx, stop context.Context, e *engine, _ bool) (Result, error) {
	all := e.plan().all(e.st.Pending.installed)
	if all && e.st.Pending.started {
		return e.decideByAnswers(ctx, stop, e.u.Deadlines.probe())
	}
	if err := e.app(ctx, stepStop); err != nil {
		return e.rollBack(ctx, err)
	}
	if all {
		return c.installed(ctx, e)
	}
	return c.forward(ctx, e)
}

// installed compares what was restored before the application may write to it (R15). A
// rollback that a person asked for is not taken back because of a difference: he decides.
func (c reverting) installed(ctx context.Context, e *engine) (Result, error) {
	switch err := e.compareAll(ctx, c.Refs); {
	case asksPerson(err):
		return e.ask(ctx, err, nil)
	case err != nil:
		return e.rollBack(ctx, err)
	}
	return e.prove(ctx)
}

// unhealthy parts were so before the operator's rollback that failed.
func (c reverting) unhealthy(part string) bool { return slices.Contains(c.Unhealthy, part) }

// recovered starts over, unless everything is installed.
func (c reverting) recovered(p *Pending) {
	if !p.Plan.all(p.installed) {
		clear(p.installed)
	}
}

// rolledBack quarantines nothing: what failed here was once committed.
func (c reverting) rolledBack(*Status, record) {}

// committed lifts the quarantine of what was gone back to, which a person chose,
// and quarantines what was left, unless this is an undo. The state before the
// rollback is kept aside; what was restored is live again and no longer aside.
func (c reverting) committed(s *Status, r record) {
	for _, part := range s.Pending.Plan.Parts {
		if part.Keep {
			continue
		}
		s.lift(part.Name, part.To)
		if !c.Undo {
			s.quarantine(part.Name, part.From, r)
		}
	}
	s.Aside = slices.DeleteFunc(s.Aside, func(p RestorePoint) bool { return p.Update == c.Update })
	c.repaired(s, r)
}

// repaired keeps the state before the rollback aside.
func (c reverting) repaired(s *Status, _ record) {
	if point := s.Pending.restorePoint(); point != nil && len(point.Refs) > 0 {
		point.Counts = nil
		s.Aside = append(s.Aside, *point)
	}
}
