package rollback

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// carryOut does what the plan says, which was made just now.
func (e *engine) carryOut(ctx context.Context, now Plan, reason string) (Result, error) {
	if now.Slot.Start.After(e.u.now()) {
		return Result{Outcome: Nothing}, refuse(ReasonWindow, "", "R13: the window opens at %s", now.Slot.Start.Format("2006-01-02 15:04 MST")).then("wait for it")
	}
	e.id, e.direction = newID(e.u.now()), forward
	if err := e.record(record{Step: stepIntent, Kind: EventDone, Plan: &now, Who: e.u.who(), Reason: reason}, nil); err != nil {
		return Result{Outcome: Nothing}, e.failure(Nothing, &stepError{stepIntent, "", err}, nil)
	}
	if err := e.prepare(ctx); err != nil {
		return e.abandon(ctx, err)
	}
	// From the first damage on nothing is canceled.
	return e.course().forward(context.WithoutCancel(ctx), e)
}

// prepare does all that damages nothing: fence, stop, snapshots, guard.
func (e *engine) prepare(ctx context.Context) error {
	if err := e.fence(ctx); err != nil {
		return err
	}
	if err := e.app(ctx, stepStop); err != nil {
		return err
	}
	for _, d := range e.u.Data {
		if err := e.snapshot(ctx, d); err != nil {
			return err
		}
	}
	return e.do(ctx, stepGuard, "", 0, e.guard)
}

// snapshot backs one dataset up (R9) and reads the copy back.
func (e *engine) snapshot(ctx context.Context, d Dataset) error {
	return e.doRecord(ctx, stepSnapshot, d.Name, e.u.Deadlines.snapshot(), func(ctx context.Context) (record, error) {
		ref, err := d.Data.Snapshot(ctx)
		if err != nil {
			return record{}, err
		}
		if ref == "" {
			return record{}, errors.New("the snapshot has no reference")
		}
		if err := d.Data.Verify(ctx, ref); err != nil {
			return record{}, err
		}
		return record{Ref: ref, Counts: e.u.count(ctx, d)}, nil
	})
}

// guard is the last check before the first damage. It reads everything from the
// disk again.
func (e *engine) guard(ctx context.Context) error {
	u := e.u
	if err := u.checkWindow(ctx); err != nil {
		return err
	}
	for i, part := range u.Parts {
		if e.plan().Parts[i].Keep {
			continue
		}
		if err := u.checkInstallers(ctx, part); err != nil {
			return err
		}
	}
	if err := u.checkSnapshots(ctx, e.st.Pending.Refs); err != nil {
		return err
	}
	if err := e.course().verify(ctx, u); err != nil {
		return err
	}
	// Reading it all again may have taken hours.
	if err := u.checkWindow(ctx); err != nil {
		return err
	}
	for _, check := range []func() error{e.lock.check, e.j.check} {
		if err := check(); err != nil {
			return &Error{Reason: ReasonState, Err: err}
		}
	}
	return ctx.Err()
}

// installAll installs what is not installed yet, probes and commits.
func (e *engine) installAll(ctx context.Context) (Result, error) {
	for i, part := range e.u.Parts {
		if e.plan().Parts[i].Keep || e.st.Pending.installed[part.Name] {
			continue
		}
		reboot, err := e.install(ctx, part, part.To)
		if err != nil {
			return e.rollBack(ctx, err)
		}
		if reboot {
			return e.awaitReboot()
		}
	}
	return e.prove(ctx, e.u.Deadlines.probe())
}

// install runs one installer, in either direction. It reports whether the
// machine must restart now.
func (e *engine) install(ctx context.Context, part Part, r Release) (reboot bool, err error) {
	err = e.doRecord(ctx, stepInstall, part.Name, e.u.Deadlines.install(), func(ctx context.Context) (record, error) {
		err := part.Installer.Install(ctx, r)
		if !errors.Is(err, ErrReboot) {
			return record{}, err
		}
		// In the record of its end, so that a process that goes on from here
		// also waits for the restart before it probes.
		boot, err := e.u.bootID()
		reboot = err == nil
		return record{Ref: boot}, err
	})
	return reboot && err == nil, err
}

// awaitReboot journals which boot must end.
func (e *engine) awaitReboot() (Result, error) {
	if err := e.record(record{Step: stepReboot, Kind: EventBegin, Ref: e.st.Pending.reboot}, nil); err != nil {
		return e.interrupted(&stepError{stepReboot, "", err})
	}
	return e.result(AwaitingReboot), nil
}

// prove starts the application behind the fence and commits if every part
// is healthy at its new version before the deadline.
func (e *engine) prove(ctx context.Context, deadline time.Duration) (Result, error) {
	if err := e.app(ctx, stepStart); err != nil {
		return e.rollBack(ctx, err)
	}
	for _, part := range e.u.Parts {
		err := e.do(ctx, stepProbe, part.Name, deadline, func(ctx context.Context) error {
			return part.Probe.Await(ctx, part.To.Version)
		})
		if err != nil {
			return e.rollBack(ctx, err)
		}
	}
	if err := e.record(record{Step: stepCommit, Kind: EventDone}, nil); err != nil {
		return e.interrupted(&stepError{stepCommit, "", err})
	}
	return e.finish(ctx, nil)
}

// abandon leaves an update that has damaged nothing.
func (e *engine) abandon(ctx context.Context, cause error) (Result, error) {
	if e.j.broken != nil {
		return e.interrupted(cause)
	}
	e.direction = back
	ctx = context.WithoutCancel(ctx)
	if err := e.app(ctx, stepStart); err != nil {
		return e.interrupted(errors.Join(cause, err))
	}
	if err := e.record(record{Step: stepAbandoned, Kind: EventDone}, nil); err != nil {
		return e.interrupted(errors.Join(cause, err))
	}
	return e.finish(ctx, cause)
}

// finish lets users in after an outcome that is durable. A failure here does not
// change that outcome: Recover tries again.
func (e *engine) finish(ctx context.Context, cause error) (Result, error) {
	outcome := e.st.Pending.Outcome
	if err := e.do(ctx, stepUnfence, "", e.u.Deadlines.fence(), e.u.Fence.Open); err != nil {
		return e.interrupted(fmt.Errorf("%s is durable, but the fence cannot be opened: %w", outcome, errors.Join(err, cause)))
	}
	for _, d := range e.u.Data {
		t, ok := d.Data.(tidier)
		if !ok {
			continue
		}
		// A failure is in the journal; it costs space and no safety.
		_ = e.do(ctx, stepTidy, d.Name, e.u.Deadlines.fence(), t.Tidy)
	}
	res, failure := e.result(outcome), e.failure(outcome, cause, nil)
	if err := e.record(record{Step: stepEnd, Kind: EventDone}, nil); err != nil {
		return e.interrupted(err)
	}
	if outcome == Committed {
		return res, nil
	}
	return res, failure
}
