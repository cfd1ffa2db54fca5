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
	if boot == stillRunning {
		return e.result(AwaitingReboot), nil
	}
	if p.Damaged && p.Outcome == "" && boot == none && p.Attempts >= e.u.attempts() {
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
func (e *engine) takeOver(boot waiting) error {
	if boot == over {
		return e.record(Record{Step: StepReboot, Phase: Done}, nil)
	}
	return e.record(Record{Step: StepRecover, Phase: Begin, Who: e.u.who()}, nil)
}

func (e *engine) resume(ctx context.Context, boot waiting) (Result, error) {
	p := e.st.Pending
	switch {
	case p.Outcome != "":
		// Decided and durable; only the doors are still closed.
		if err := e.app(ctx, StepStart); err != nil {
			return e.interrupted(err)
		}
		return e.finish(ctx, errInterrupted)
	case !p.Damaged:
		return e.abandon(ctx, errInterrupted)
	case p.Way == Back:
		return e.back(ctx, errInterrupted)
	}
	// An installer that outlived its updater comes first: closing the fence
	// again may end its sessions. Then the fence, which may not have
	// outlived the crash.
	finished := false
	if err := e.settle(ctx, &finished); err != nil {
		return e.back(ctx, err)
	}
	if err := e.do(ctx, StepFence, "", e.u.Deadlines.fence(), e.u.Fence.Close); err != nil {
		return e.interrupted(err)
	}
	switch {
	case p.Reboot != "":
		return e.awaitReboot() // so the installer that was left running said
	case boot == over:
		return e.forward(ctx)
	}
	begun := true
	for _, part := range p.Plan.Parts {
		begun = begun && (part.Keep || p.begun[part.Name])
	}
	switch {
	case p.Plan.Back != nil && !p.complete():
		// What a person decided is gone on with. Restoring and installing
		// anew is as idempotent as on any way back, so that nothing need be
		// guessed; a restart may have started the application.
		if err := e.app(ctx, StepStop); err != nil {
			return e.back(ctx, err)
		}
		return e.forward(ctx)
	case p.complete() || begun && finished:
		return e.prove(ctx, e.u.Deadlines.probe())
	case begun && p.Plan.alike() == "":
		// The last installer ended unseen: perhaps well, perhaps in the
		// same power cut. A look tells, and it need not be a long one.
		return e.prove(ctx, min(e.u.Deadlines.decide(), e.u.Deadlines.probe()))
	}
	return e.back(ctx, errInterrupted)
}

// waiting is what an update has to do with a restart of the machine.
type waiting int

const (
	none         waiting = iota // it waits for none
	stillRunning                // it waits, and this is still the same boot
	over                        // it waited, and the machine has restarted
)

func (u *Update) awaited(p *Pending) (waiting, error) {
	if p.Reboot == "" {
		return none, nil
	}
	boot, err := u.bootID()
	switch {
	case err != nil:
		return none, &stepError{StepReboot, "", err}
	case boot == p.Reboot:
		return stillRunning, nil
	}
	return over, nil
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
