package rollback

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// rollBack brings the previous version and its data back (R15). It is
// idempotent, and tried as often as the attempts allow; then a person must
// decide. It deletes nothing.
func (e *engine) rollBack(ctx context.Context, cause error) (Result, error) {
	afterReboot := e.direction == back && e.st.Pending.Step == stepReboot
	e.direction = back
	for {
		reboot, err := e.rollBackOnce(ctx, afterReboot)
		switch {
		case err == nil && reboot:
			return e.awaitReboot()
		case err == nil:
			return e.finish(ctx, cause)
		case e.j.broken != nil:
			return e.result(Interrupted), e.failure(Interrupted, cause, errors.Join(err, e.keepOut(ctx)))
		case e.st.Pending.Attempts+1 >= e.u.attempts():
			return e.needsOperator(ctx, cause, err)
		}
		if err := e.record(record{Step: stepRecover, Kind: EventBegin}, err); err != nil {
			return e.result(Interrupted), e.failure(Interrupted, cause, err)
		}
		afterReboot = false
		pause := time.NewTimer(or(e.u.Interval, 10*time.Second))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// rollBackOnce rolls back once, in R15's order. After a restart that the
// previous version's installer needed, the data is restored already.
func (e *engine) rollBackOnce(ctx context.Context, afterReboot bool) (reboot bool, err error) {
	// Before the fence: closing it again may end the sessions of an installer
	// that is still running behind it.
	if _, err := e.settle(ctx, false); err != nil {
		return false, err
	}
	if err := e.fence(ctx); err != nil {
		return false, err
	}
	if !afterReboot {
		if err := e.restore(ctx); err != nil {
			return false, err
		}
	}
	if reboot, err := e.reinstall(ctx); err != nil || reboot {
		return reboot, err
	}
	if err := e.app(ctx, stepStart); err != nil {
		return false, err
	}
	for _, part := range e.u.Parts {
		if e.course().unhealthy(part.Name) {
			continue // nor was it before
		}
		if err := e.do(ctx, stepProbe, part.Name, e.u.Deadlines.probe(), func(ctx context.Context) error { return e.probePrevious(ctx, part) }); err != nil {
			return false, err
		}
	}
	if err := e.record(record{Step: stepRolledBack, Kind: EventDone}, nil); err != nil {
		return false, &stepError{stepRolledBack, "", err}
	}
	return false, nil
}

// restore stops the application, removes the new versions where the kind
// needs it, and restores every dataset.
func (e *engine) restore(ctx context.Context) error {
	if err := e.app(ctx, stepStop); err != nil {
		return err
	}
	for _, part := range slices.Backward(e.u.Parts) {
		if _, ok := part.Installer.(Remover); !ok || !e.st.Pending.begun[part.Name] {
			continue
		}
		if err := e.remove(ctx, part, part.To); err != nil {
			return err
		}
	}
	return e.restoreAll(ctx, e.st.Pending.Refs)
}

// remove removes one version, with an installer that is a [Remover].
func (e *engine) remove(ctx context.Context, part Part, r Release) error {
	return e.do(ctx, stepRemove, part.Name, e.u.Deadlines.install(), func(ctx context.Context) error {
		return part.Installer.(Remover).Remove(ctx, r)
	})
}

// restoreAll restores every dataset from the snapshots given.
func (e *engine) restoreAll(ctx context.Context, refs map[string]string) error {
	for _, d := range e.u.Data {
		ref, ok := refs[d.Name]
		if !ok {
			// The guard makes this impossible; a restore that has nothing to
			// restore must never count as one.
			return &stepError{stepRestore, d.Name, errors.New("the journal has no snapshot of it")}
		}
		if err := e.do(ctx, stepRestore, d.Name, e.u.Deadlines.restore(), func(ctx context.Context) error { return d.Data.Restore(ctx, ref) }); err != nil {
			return err
		}
	}
	return nil
}

// reinstall installs the previous version of each part that may have been
// changed. It reports whether the machine must restart now.
func (e *engine) reinstall(ctx context.Context) (reboot bool, err error) {
	for i, part := range e.u.Parts {
		p := e.st.Pending
		changed := p.begun[part.Name] || p.retried && !p.Plan.Parts[i].Keep
		if part.From.Version == "" || !changed || p.reinstalled[part.Name] {
			continue
		}
		if reboot, err := e.install(ctx, part, part.From); err != nil || reboot {
			return reboot, err
		}
	}
	return false, nil
}

// settle waits for installers that a process before this one left running,
// and reports whether one was found and came to its end. With forward the
// update goes on with the new version, and a restart that the installer needs
// is journaled in the same record.
func (e *engine) settle(ctx context.Context, forward bool) (ended bool, err error) {
	for _, part := range e.u.Parts {
		if !e.st.Pending.begun[part.Name] {
			continue
		}
		err := e.doRecord(ctx, stepSettle, part.Name, e.u.Deadlines.install(), func(ctx context.Context) (done record, err error) {
			found, err := part.Installer.Settle(ctx)
			if errors.Is(err, ErrReboot) {
				found, err = true, nil
				if forward {
					done.Ref, err = e.u.bootID()
				}
			}
			ended = ended || found
			return done, err
		})
		if err != nil {
			return ended, err
		}
	}
	return ended, nil
}

// probePrevious expects the previous version, or, after a first
// installation that was taken back, nothing.
func (e *engine) probePrevious(ctx context.Context, part Part) error {
	if part.From.Version != "" {
		return part.Probe.Await(ctx, part.From.Version)
	}
	got, err := part.Probe.Version(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("something is left after it was removed: %w", err)
	case got != "":
		return fmt.Errorf("version %s is still running after it was removed", got)
	}
	return nil
}

// needsOperator blocks until a person decides.
func (e *engine) needsOperator(ctx context.Context, cause, rollback error) (Result, error) {
	rollback = errors.Join(rollback, e.keepOut(ctx))
	if err := e.record(record{Step: stepOperator, Kind: EventDone}, rollback); err != nil {
		return e.result(Interrupted), e.failure(Interrupted, cause, errors.Join(rollback, err))
	}
	return e.result(NeedsOperator), e.failure(NeedsOperator, cause, rollback)
}

func (u *Update) attempts() int { return cmp.Or(max(u.Attempts, 0), 3) }
