package rollback

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// errInterrupted is the cause of what recovery finds.
var errInterrupted = errors.New("the updating process died")

// Recover ends an update that an earlier process left pending: forward if every
// part is healthy at its new version, back otherwise; an operator's rollback
// goes on. Call it at every start; with nothing pending it returns [Nothing].
//
// The error is nil if the machine is in order, whether the update was committed
// or rolled back. It wraps [ErrNeedsOperator] while a person must decide. The
// Update must have the parts and data of the pending one.
func (u *Update) Recover(ctx context.Context) (Result, error) {
	e, err := u.open("recovering")
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
	ctx = context.WithoutCancel(ctx)
	if p.Outcome == NeedsOperator {
		return e.result(NeedsOperator), e.failure(NeedsOperator, errors.New("earlier attempts failed"), e.keepOut(ctx))
	}
	boot, err := e.u.awaited(p)
	if err != nil {
		return e.interrupted(errors.Join(err, e.keepOut(ctx)))
	}
	if boot == sameBoot {
		return e.result(AwaitingReboot), nil
	}
	if p.Damaged && p.Outcome == "" && boot == noReboot && p.Attempts >= e.u.attempts() {
		return e.needsOperator(ctx, errInterrupted, fmt.Errorf("%d attempts to recover were cut short", p.Attempts))
	}
	if err := e.takeOver(boot); err != nil {
		if p.Damaged {
			err = errors.Join(err, e.keepOut(ctx))
		}
		return e.interrupted(err)
	}
	res, err := e.resume(ctx, boot)
	if res.Outcome == RolledBack || res.Outcome == Abandoned {
		err = nil // the machine is in order
	}
	return res, err
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
	return e.record(record{Step: stepRecover, Kind: EventBegin, Who: e.u.who()}, nil)
}

// resume goes on from where the journal ends.
func (e *engine) resume(ctx context.Context, boot reboot) (Result, error) {
	p := e.st.Pending
	switch {
	case p.Outcome != "":
		// Decided and durable; only the fence is still closed.
		if err := e.app(ctx, stepStart); err != nil {
			return e.interrupted(err)
		}
		return e.finish(ctx, errInterrupted)
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
	if err := e.fence(ctx); err != nil {
		return e.interrupted(err)
	}
	switch {
	case p.reboot != "":
		return e.awaitReboot() // the installer that was left running needs it
	case boot == rebooted:
		return p.course.forward(ctx, e)
	}
	return p.course.resume(ctx, e, ended)
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

// fits refuses to recover an update with the roles of another one.
func (e *engine) fits() error {
	p := e.plan()
	same := slices.EqualFunc(p.Parts, e.u.Parts, func(want PlanPart, have Part) bool { return want.Setup == have.Setup && want.fits(have) }) &&
		slices.EqualFunc(p.Data, e.u.Data, func(name string, d Dataset) bool { return name == d.Name })
	what := "a fence, an application or rules left out"
	// A fence left out now was perhaps closed then, and would stay closed.
	stops := slices.ContainsFunc(p.Steps, func(s PlanStep) bool { return s.Step == stepStart })
	switch {
	case !same:
		what = "parts or data"
	case stops == (e.u.App != nil) && slices.Equal(binding(p.Overrides), binding(e.u.overrides())):
		return nil
	}
	return refuse(ReasonState, "update "+e.id, "it is pending with %s other than those given", what).then("recover it as it was planned")
}

// binding returns the overridden rules that hold for the whole of an update.
// R13 and R3 are matters of its start.
func binding(list []Override) []string {
	var rules []string
	for _, o := range list {
		if o.Rule != ruleWindow && o.Rule != ruleSetup {
			rules = append(rules, o.Rule)
		}
	}
	return rules
}
