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
	if err := e.writeMarks(); err != nil { // before users are kept out
		return Result{Outcome: Nothing}, unwritable(err)
	}
	early := e.early(ctx) // while nothing is pending
	defer e.drop(ctx, early)
	if err := ctx.Err(); err != nil {
		return Result{Outcome: Nothing}, &Error{Err: err}
	}
	e.id, e.direction = newID(e.u.now()), forward
	if err := e.record(record{Step: stepIntent, Kind: EventDone, Plan: &now, Who: e.u.who(), Reason: reason}, nil); err != nil {
		return Result{Outcome: Nothing}, e.failure(Nothing, &stepError{stepIntent, "", err}, nil)
	}
	if err := e.prepare(ctx, early); err != nil {
		return e.abandon(ctx, err)
	}
	// From the first damage on nothing is canceled.
	return e.course().forward(context.WithoutCancel(ctx), e)
}

// prepare does all that damages nothing: fence, stop, snapshots, guard.
func (e *engine) prepare(ctx context.Context, early []*preparation) error {
	if err := e.fence(ctx); err != nil {
		return err
	}
	if err := e.app(ctx, stepStop); err != nil {
		return err
	}
	if err := e.snapshots(ctx, early); err != nil {
		return err
	}
	return e.do(ctx, stepGuard, "", 0, e.guard)
}

// A preparation is a snapshot that was prepared, see [Data].
type preparation struct {
	snapshot func(context.Context) (ref string, err error)
	drop     func(context.Context) error // nil if nothing was prepared, or once it is asked for
}

func (p *preparation) take(ctx context.Context) (ref string, err error) {
	p.drop = nil
	return p.snapshot(ctx)
}

// early prepares snapshots while users still work, in the order of the datasets.
func (e *engine) early(ctx context.Context) []*preparation {
	early, errs := make([]*preparation, len(e.u.Data)), make([]error, len(e.u.Data))
	for i, d := range e.u.Data {
		early[i] = &preparation{snapshot: d.Data.Snapshot}
	}
	e.u.each(len(early), func(i int) {
		p, ok := e.u.Data[i].Data.(preparer)
		if !ok {
			return
		}
		errs[i] = e.u.within(ctx, e.u.Deadlines.snapshot(), func(ctx context.Context) error {
			snapshot, drop, err := p.Prepare(ctx)
			if err == nil {
				*early[i] = preparation{snapshot, drop}
			}
			return err
		})
	})
	for i, err := range errs {
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && !noData(err) && ctx.Err() == nil {
			e.note(stepSnapshot, fmt.Sprintf("%s is backed up only when users are kept out: %v", e.u.Data[i].Name, err))
		}
	}
	return early
}

// drop removes what was prepared and not asked for.
func (e *engine) drop(ctx context.Context, early []*preparation) {
	for i, p := range early {
		if p.drop == nil {
			continue
		}
		if err := e.u.within(context.WithoutCancel(ctx), e.u.Deadlines.snapshot(), p.drop); err != nil {
			e.note(stepSnapshot, fmt.Sprintf("%s: what was prepared cannot be removed: %v", e.u.Data[i].Name, err))
		}
	}
}

// snapshots backs the datasets up (R9) and reads the copies back.
func (e *engine) snapshots(ctx context.Context, early []*preparation) error {
	first := e.plan().first()
	var jobs []job
	for i, d := range e.u.Data {
		jobs = append(jobs, job{part: d.Name, limit: e.u.Deadlines.snapshot(), call: func(ctx context.Context) (record, error) {
			ref, err := take(ctx, d, early[i].take)
			switch {
			case first && errors.Is(err, errNoData):
				return record{}, nil // FullSetup creates it
			case err != nil:
				return record{}, err
			}
			return record{Ref: ref, Counts: e.u.count(ctx, d)}, nil
		}, then: func(ctx context.Context, r record) error {
			if r.Ref == "" {
				return nil
			}
			if err := e.unused(r); err != nil {
				return err
			}
			// What users entered meanwhile would be in one dataset and not in another.
			return e.u.unfenced(ctx)
		}})
	}
	return e.abreast(ctx, stepSnapshot, jobs, true)
}

// guard is the last check before the first damage. What a rollback needs is read from the disk
// again, as far as its roles have not just read it.
func (e *engine) guard(ctx context.Context) error {
	u := e.u
	if err := u.checkWindow(ctx); err != nil {
		return err
	}
	for i, part := range u.Parts {
		if e.plan().Parts[i].Keep {
			continue
		}
		if err := u.checkInstallers(ctx, e.committedBefore(), part); err != nil {
			return err
		}
	}
	if err := u.checkSnapshots(ctx, e.st.Pending.refs, e.st.Pending.absent); err != nil {
		return err
	}
	if err := e.course().verify(ctx, u); err != nil {
		return err
	}
	if err := u.unfenced(ctx); err != nil {
		return err
	}
	if err := e.recordApplication(ctx); err != nil {
		return err
	}
	// Reading it all again may have taken hours.
	if err := u.checkWindow(ctx); err != nil {
		return err
	}
	for _, check := range []func() error{e.lock.check, e.j.check, e.writeMarks} {
		if err := check(); err != nil {
			return &Error{Reason: ReasonState, Err: err}
		}
	}
	return ctx.Err()
}

// committedBefore is the state without the pending update, which names the
// releases that it was planned with itself.
func (e *engine) committedBefore() Status {
	st := e.st
	st.Pending = nil
	return st
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
	return e.course().installed(ctx, e)
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

// prove starts the application behind the fence, migrates, and commits if every
// part is healthy at its new version, and stays so.
func (e *engine) prove(ctx context.Context) (Result, error) {
	if err := e.app(ctx, stepStart); err != nil {
		return e.rollBack(ctx, err)
	}
	if err := e.migrate(ctx); errors.Is(err, errYield) {
		return e.later(err)
	} else if err != nil {
		return e.rollBack(ctx, err)
	}
	want := map[string]Version{}
	for _, part := range e.u.Parts {
		want[part.Name] = part.To.Version
		err := e.healthy(ctx, part, want, len(want) == len(e.u.Parts), func(ctx context.Context) error {
			return part.Probe.Await(ctx, part.To.Version)
		})
		if errors.Is(err, errYield) {
			return e.later(err)
		}
		if err != nil {
			return e.rollBack(ctx, err)
		}
	}
	return e.commit(ctx)
}

// decideByAnswers starts the application behind the fence and goes forward or
// back as soon as the parts answer steadily, or back after the deadline.
func (e *engine) decideByAnswers(ctx, stop context.Context, deadline time.Duration) (Result, error) {
	if err := e.app(ctx, stepStart); err != nil {
		return e.rollBack(ctx, err)
	}
	if e.plan().all(e.st.Pending.installed) {
		if err := e.migrate(ctx); errors.Is(err, errYield) {
			return e.later(err)
		} else if err != nil {
			return e.rollBack(ctx, err)
		}
	}
	says := silence
	err := e.do(ctx, stepProbe, "", 0, func(ctx context.Context) (err error) {
		if says, err = e.judge(ctx, stop, deadline); err == nil && says != isNew {
			err = fmt.Errorf("no steady answer at the new version within %v", deadline)
			if says == isOld {
				err = errors.New("the new version is not in place: the installer had not done its work")
			}
		}
		return err
	})
	switch {
	case errors.Is(err, errYield):
		return e.later(err)
	case err != nil:
		return e.rollBack(ctx, err)
	case len(e.unmigrated()) > 0:
		return e.prove(ctx)
	}
	return e.commit(ctx)
}

// commit is the point of no return.
func (e *engine) commit(ctx context.Context) (Result, error) {
	if err := e.u.unfenced(ctx); err != nil {
		// It is recorded, and no reason to go back: a rollback would lose what
		// users have entered since, and a commit keeps it.
		if err := e.record(record{Step: stepFence, Kind: EventFailed}, err); err != nil {
			return e.interrupted(&stepError{stepFence, "", err})
		}
	}
	if err := e.record(record{Step: stepCommit, Kind: EventDone}, nil); err != nil {
		return e.interrupted(&stepError{stepCommit, "", err})
	}
	return e.finish(ctx, nil)
}

// abandon leaves an update that has damaged nothing.
func (e *engine) abandon(ctx context.Context, cause error) (Result, error) {
	if e.foreignWriter() {
		return e.interrupted(cause) // another process may be running
	}
	e.direction = back
	ctx = context.WithoutCancel(ctx)
	err := e.letIn(ctx, stepStart)
	if e.j.broken == nil && err != nil {
		return e.interrupted(errors.Join(cause, err))
	}
	if e.j.broken == nil {
		err = e.record(record{Step: stepAbandoned, Kind: EventDone}, nil)
	}
	if e.foreignWriter() {
		return e.interrupted(errors.Join(cause, err))
	}
	if e.j.broken != nil {
		// Nothing is damaged, so that nothing is lost by letting users in: the
		// next process finds the same and does the same.
		return e.interrupted(errors.Join(cause, err, e.letIn(ctx, stepUnfence)))
	}
	return e.finish(ctx, cause)
}

// foreignWriter reports whether lock or journal are not ours alone, or whether
// it is not known what the journal holds.
func (e *engine) foreignWriter() bool {
	if e.j.torn {
		return true
	}
	refusal, ok := errors.AsType[*Error](e.j.broken)
	return errors.Is(e.j.broken, ErrDamaged) || ok && (refusal.Reason == ReasonState || refusal.Reason == ReasonNewer)
}

// letIn starts the application or opens the fence where that can lose nothing:
// after an outcome that is durable, and where nothing was damaged. It does so
// even if the journal cannot be written, unless another process may be running:
// what cannot be recorded keeps no user out.
func (e *engine) letIn(ctx context.Context, step Step) error {
	call := e.unlock
	if step == stepStart {
		if call = e.starter(step); call == nil {
			return nil
		}
	}
	if e.j.broken != nil {
		return e.u.within(ctx, e.u.Deadlines.fence(), call)
	}
	called := false
	err := e.do(ctx, step, "", e.u.Deadlines.fence(), func(ctx context.Context) error { called = true; return call(ctx) })
	if !called && !e.foreignWriter() {
		err = errors.Join(err, e.u.within(ctx, e.u.Deadlines.fence(), call))
	}
	return err
}

// finish lets users in after an outcome that is durable. A failure here does not
// change that outcome: Recover tries again.
func (e *engine) finish(ctx context.Context, cause error) (Result, error) {
	outcome := e.st.Pending.Outcome
	if err := e.letIn(ctx, stepUnfence); err != nil || e.j.broken != nil {
		err = errors.Join(err, e.j.broken)
		if e.gate != gateOpen {
			err = fmt.Errorf("%s is durable, but the fence cannot be opened: %w", outcome, err)
		}
		return e.interrupted(errors.Join(err, cause))
	}
	for _, d := range e.u.Data {
		t, ok := d.Data.(tidier)
		if !ok || e.st.Pending.unkept[d.Name] || e.st.Pending.accepts[d.Name] != nil {
			continue // what its restore replaced is the only copy, or may be the better one
		}
		// A failure is in the journal; it costs space and no safety.
		_ = e.do(ctx, stepTidy, d.Name, e.u.Deadlines.fence(), t.Tidy)
	}
	for _, part := range e.u.Parts {
		if t, ok := part.Installer.(tidier); ok {
			_ = e.u.within(ctx, e.u.Deadlines.fence(), t.Tidy) // likewise
		}
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
