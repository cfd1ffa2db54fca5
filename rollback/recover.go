package rollback

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// errInterrupted is the cause of what recovery finds.
var errInterrupted = errors.New("the process that updated died")

// Recover takes over an update that a process before this one left pending,
// and brings it to an end: forward if every part proves to be healthy at its
// new version, back otherwise. An operator's rollback is gone on with. Call it
// at every start; with nothing pending it returns [Nothing].
//
// The error is nil if the machine is in order, whichever way it went; the
// outcome tells which. It is [ErrNeedsOperator] while a person must decide.
// The Update must have the same parts and data as the one that is pending.
func (u *Update) Recover(ctx context.Context) (Result, error) {
	e, err := u.open("recovering")
	if err != nil {
		return Result{Outcome: Nothing}, err
	}
	defer e.close()
	return e.recover(ctx)
}

// recover decides by the journal what may have happened, and by probing what
// has.
func (e *engine) recover(ctx context.Context) (Result, error) {
	p := e.st.Pending
	if p == nil {
		return Result{Outcome: Nothing}, nil
	}
	if err := e.fits(); err != nil {
		return e.strange(err)
	}
	ctx = context.WithoutCancel(ctx)
	if p.Outcome == NeedsOperator {
		return e.result(NeedsOperator), e.failure(NeedsOperator, errors.New("earlier attempts failed"), e.keepOut(ctx))
	}
	boot, err := e.u.awaited(p)
	if err != nil {
		return e.interrupted(errors.Join(err, e.keepOut(ctx)))
	}
	if boot == awaiting {
		return e.result(AwaitingReboot), nil
	}
	if p.Damaged && p.Outcome == "" && boot == noRestart && p.Attempts >= e.u.attempts() {
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

// strange leaves a pending update alone, because the roles given are another
// one's: its fence, too, is not theirs to close.
func (e *engine) strange(err error) (Result, error) {
	f := e.failure(Interrupted, err, nil)
	if e.st.Pending.Outcome == NeedsOperator {
		f.Outcome = NeedsOperator
	}
	f.Unfenced = true
	return e.result(f.Outcome), f
}

// takeOver journals that this process goes on with the update.
func (e *engine) takeOver(boot restart) error {
	if boot == restarted {
		return e.record(Record{Step: StepReboot, Phase: Done}, nil)
	}
	return e.record(Record{Step: StepRecover, Phase: Begin, Who: e.u.who()}, nil)
}

// resume goes on from where the journal ends.
func (e *engine) resume(ctx context.Context, boot restart) (Result, error) {
	p := e.st.Pending
	switch {
	case p.Outcome != "":
		// Decided and durable; only the fence is still closed.
		if err := e.app(ctx, StepStart); err != nil {
			return e.interrupted(err)
		}
		return e.finish(ctx, errInterrupted)
	case !p.Damaged:
		return e.abandon(ctx, errInterrupted)
	case p.Direction == Back:
		return e.rollBack(ctx, errInterrupted)
	}
	// An installer that outlived its updater comes first: closing the fence
	// again may end its sessions. Then the fence, which may not have
	// outlived the crash.
	ended, err := e.settle(ctx, true)
	if err != nil {
		return e.rollBack(ctx, err)
	}
	if err := e.do(ctx, StepFence, "", e.u.Deadlines.fence(), e.u.Fence.Close); err != nil {
		return e.interrupted(err)
	}
	switch {
	case p.Reboot != "":
		return e.awaitReboot() // so the installer that was left running said
	case boot == restarted:
		return p.course.forward(ctx, e)
	}
	return p.course.resume(ctx, e, ended)
}

// A restart is what an update has to do with a restart of the machine.
type restart int

const (
	noRestart restart = iota // it waits for none
	awaiting                 // it waits, and this is still the same boot
	restarted                // it waited, and the machine has restarted
)

func (u *Update) awaited(p *Pending) (restart, error) {
	if p.Reboot == "" {
		return noRestart, nil
	}
	boot, err := u.bootID()
	switch {
	case err != nil:
		return noRestart, &stepError{StepReboot, "", err}
	case boot == p.Reboot:
		return awaiting, nil
	}
	return restarted, nil
}

// fits refuses to recover an update with the roles of another one.
func (e *engine) fits() error {
	p := e.plan()
	same := len(p.Parts) == len(e.u.Parts) && len(p.Data) == len(e.u.Data)
	for i := 0; same && i < len(p.Parts); i++ {
		want, have := p.Parts[i], e.u.Parts[i]
		same = want.Name == have.Name && want.Setup == have.Setup && want.From.same(have.From) && want.To.same(have.To)
	}
	for i := 0; same && i < len(p.Data); i++ {
		same = p.Data[i] == e.u.Data[i].Name
	}
	if !same {
		return refuse(ReasonState, "", "update %s is pending with other parts or data than given; recover it as it was planned", e.id)
	}
	// A fence left out now was perhaps closed then, and would stay closed.
	stops := slices.ContainsFunc(p.Steps, func(s PlanStep) bool { return s.Step == StepStart })
	if stops != (e.u.App != nil) || !slices.Equal(binding(p.Overrides), binding(e.u.overrides())) {
		return refuse(ReasonState, "", "update %s is pending with another fence or application than given, or other rules left out; recover it as it was planned", e.id)
	}
	return nil
}

// binding returns the rules left out that hold for the whole of an update.
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
