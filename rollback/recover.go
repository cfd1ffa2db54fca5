package rollback

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// errInterrupted is the cause of what recovery finds.
var errInterrupted = errors.New("the updating process died")

// Recover ends an update that an earlier process left pending: forward if every
// part is healthy at its new version, back otherwise; an operator's rollback
// goes on. Call it at every start; with nothing pending it returns [Nothing].
//
// The error is nil if the machine is in order, whether the update was committed
// or rolled back. It wraps [ErrNeedsOperator] while a person must decide. The
// Update must have the parts and data of the pending one, by their names, and
// its roles; the releases are those of the plan in the journal, whatever the
// parts have.
func (u *Update) Recover(ctx context.Context) (Result, error) {
	if err := u.checkRoles(); err != nil {
		return Result{Outcome: Nothing}, err
	}
	e, err := u.begin("recovering")
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	defer e.close()
	return e.recover(ctx)
}

// recover decides by the journal what may have happened, and by probes what did.
func (e *engine) recover(ctx context.Context) (Result, error) {
	p := e.st.Pending
	if p == nil {
		return Result{Outcome: Nothing}, nil
	}
	if err := e.fits(); err != nil {
		return e.foreign(err)
	}
	stop := ctx
	e.stop, ctx = stop, context.WithoutCancel(ctx)
	serr := e.settleRoles(ctx)
	if p.decided() {
		if serr != nil { // it keeps no one out, and is not silent
			e.note(stepRecover, serr.Error())
		}
		return e.end(ctx)
	}
	if p.Outcome == NeedsOperator {
		return e.result(NeedsOperator), e.failure(NeedsOperator, errors.New("earlier attempts failed"), errors.Join(serr, e.keepOut(ctx)))
	}
	boot, err := e.u.awaited(p)
	if err != nil {
		return e.interrupted(errors.Join(err, e.keepOut(ctx)))
	}
	if boot == sameBoot {
		return e.result(AwaitingReboot), nil
	}
	if serr != nil {
		return e.interrupted(serr)
	}
	if p.Damaged && boot == noReboot && p.Attempts >= e.u.attempts() {
		return e.needsOperator(ctx, errInterrupted, fmt.Errorf("%d attempts to recover were cut short", p.Attempts))
	}
	if err := e.takeOver(boot); err != nil {
		if p.Damaged {
			err = errors.Join(err, e.keepOut(ctx))
		}
		return e.interrupted(err)
	}
	res, err := e.resume(ctx, stop, boot)
	if res.Outcome == RolledBack || res.Outcome == Abandoned {
		err = nil // the machine is in order
	}
	return res, err
}

// end lets users in where the outcome of the pending update is durable. It does
// nothing else: whatever fails, they are not locked out.
func (e *engine) end(ctx context.Context) (Result, error) {
	err := e.takeOver(noReboot)
	if e.foreignWriter() {
		return e.interrupted(err)
	}
	return e.startAndFinish(ctx, err)
}

// startAndFinish starts the application and lets users in after an outcome that is
// durable. An application that cannot be started, and is not healthy, leaves the update
// pending, so that the next recovery starts it; no other decision of a person waits for that.
func (e *engine) startAndFinish(ctx context.Context, err error) (Result, error) {
	outcome := e.st.Pending.Outcome
	serr := e.letIn(ctx, stepStart)
	if serr != nil && e.j.broken == nil && !e.goesOn {
		return e.interrupted(errors.Join(serr, e.letIn(ctx, stepUnfence)))
	}
	res, ferr := e.finish(ctx, errors.Join(err, serr))
	if res.Outcome == outcome {
		ferr = nil // the machine is in order
	}
	return res, ferr
}

// foreign leaves a pending update alone, because the roles given, its fence
// included, are those of another one.
func (e *engine) foreign(err error) (Result, error) {
	outcome := Interrupted
	if e.st.Pending.Outcome == NeedsOperator {
		outcome = NeedsOperator
	}
	f := e.failure(outcome, err, nil)
	f.Unfenced = true
	return e.result(outcome), f
}

// takeOver journals that this process goes on with the update.
func (e *engine) takeOver(boot reboot) error {
	if boot == rebooted {
		return e.record(record{Step: stepReboot, Kind: EventDone}, nil)
	}
	e.counted = true
	return e.record(record{Step: stepRecover, Kind: EventBegin, Who: e.u.who()}, nil)
}

// resume goes on from where the journal ends.
func (e *engine) resume(ctx, stop context.Context, boot reboot) (Result, error) {
	p := e.st.Pending
	switch {
	case !p.Damaged:
		return e.abandon(ctx, errInterrupted)
	case p.Direction == back:
		return e.rollBack(ctx, errInterrupted)
	}
	// An installer that outlived its updater comes first: closing the fence
	// again may end its sessions. Then the fence, which may not have
	// outlived the crash.
	ended, err := e.settle(ctx, true)
	if err != nil {
		return e.rollBack(ctx, err)
	}
	if err := e.fenceAgain(ctx); err != nil {
		return e.later(err)
	}
	switch {
	case p.reboot != "":
		return e.awaitReboot() // the installer that was left running needs it
	case boot == rebooted:
		return p.course.forward(ctx, e)
	}
	return p.course.resume(ctx, stop, e, ended)
}

// later ends a recovery that could not check anything yet, or was stopped. It
// has changed nothing, and counts as no attempt.
func (e *engine) later(cause error) (Result, error) {
	if e.counted {
		if err := e.record(record{Step: stepRecover, Kind: EventDone}, nil); err != nil {
			cause = errors.Join(cause, err)
		}
	}
	return e.interrupted(cause)
}

// settleRoles settles what a process before this one left running of the fence,
// the application and the data: a command that acts later would undo what is
// decided now. Installers are settled by [engine.settle], which is journaled.
func (e *engine) settleRoles(ctx context.Context) error {
	type settler interface {
		Settle(ctx context.Context) (finished bool, err error)
	}
	settle := func(step Step, part string, role any, d time.Duration) error {
		s, ok := role.(settler)
		if !ok {
			return nil
		}
		err := e.u.within(ctx, d, func(ctx context.Context) error { _, err := s.Settle(ctx); return err })
		if err != nil {
			return &stepError{step, part, fmt.Errorf("a command that an earlier process left running: %w", err)}
		}
		return nil
	}
	errs := []error{
		settle(stepFence, "", e.u.Fence, e.u.Deadlines.fence()),
		settle(stepStart, "", e.u.App, e.u.Deadlines.fence()),
	}
	for _, d := range e.u.Data {
		errs = append(errs, settle(stepSnapshot, d.Name, d.Data, max(e.u.Deadlines.snapshot(), e.u.Deadlines.restore())))
	}
	for _, part := range e.u.Parts {
		for _, m := range part.Migrations {
			errs = append(errs, settle(stepMigrate, m.Name, m.Migrator, e.u.Deadlines.migrate()))
		}
	}
	return errors.Join(errs...)
}

// A reboot is whether an update waits for a restart of the machine.
type reboot int

const (
	noReboot reboot = iota // it does not
	sameBoot               // it does, and the machine has not restarted yet
	rebooted               // it did, and the machine has restarted
)

func (u *Update) awaited(p *Pending) (reboot, error) {
	if p.reboot == "" {
		return noReboot, nil
	}
	boot, err := u.bootID()
	switch {
	case err != nil:
		return noReboot, &stepError{stepReboot, "", err}
	case boot == p.reboot:
		return sameBoot, nil
	}
	return rebooted, nil
}

// fits refuses to recover an update with the roles of another one, and goes on
// with the releases that it was planned with.
func (e *engine) fits() error {
	p := e.plan()
	same := slices.EqualFunc(p.Parts, e.u.Parts, func(want PlanPart, have Part) bool { return want.Name == have.Name }) &&
		slices.EqualFunc(p.Data, e.u.Data, func(name string, d Dataset) bool { return name == d.Name })
	have := map[string]bool{}
	for _, part := range e.u.Parts {
		for _, m := range part.Migrations {
			have[m.Name] = true
		}
	}
	// One that was not planned is not carried out.
	missing := slices.ContainsFunc(p.Steps, func(s PlanStep) bool { return s.Step == stepMigrate && !have[s.Part] })
	what := "a fence, an application or rules left out"
	// A fence left out now was perhaps closed then, and would stay closed.
	stops := slices.ContainsFunc(p.Steps, func(s PlanStep) bool { return s.Step == stepStart })
	switch {
	case !same:
		what = "parts or data"
	case missing && e.st.Pending.Direction == forward:
		what = "migrations"
	case stops == (e.u.App != nil) && slices.Equal(binding(p.Overrides), binding(e.u.overrides())):
		own := *e.u
		own.Parts = slices.Clone(own.Parts)
		e.u = &own
		for i, planned := range p.Parts {
			e.u.Parts[i].From, e.u.Parts[i].To, e.u.Parts[i].Setup = planned.From, planned.To, planned.Setup
		}
		return nil
	}
	return refuse(ReasonState, "update "+e.id, "it is pending with %s other than those given", what).then("recover it as it was planned")
}

// binding returns the overridden rules that hold for the whole of an update.
// R13, R3 and R9 are matters of its start; whether it has data is compared with the data.
func binding(list []Override) []string {
	var rules []string
	for _, o := range list {
		if !slices.Contains([]string{ruleWindow, ruleSetup, ruleBackup}, o.Rule) {
			rules = append(rules, o.Rule)
		}
	}
	return rules
}
