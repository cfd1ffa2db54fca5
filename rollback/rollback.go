package rollback

import (
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
	if !e.st.Pending.Damaged {
		return e.abandon(ctx, cause) // the record of the first damage could not be written, and there was none
	}
	// Only a previous version's installer that ended well has come after the
	// restore: a person may have turned back an update that waited for the
	// restart of its new version's.
	afterReboot := e.direction == back && e.st.Pending.Step == stepReboot && len(e.st.Pending.reinstalled) > 0
	e.direction = back
	patience := time.Now().Add(busyTimeout)
	for {
		reboot, err := e.rollBackOnce(ctx, afterReboot)
		switch {
		case err == nil && reboot:
			return e.awaitReboot()
		case err == nil:
			return e.finish(ctx, cause)
		case e.j.broken != nil:
			return e.result(Interrupted), e.failure(Interrupted, cause, errors.Join(err, e.keepOut(ctx)))
		case isBusy(err) && time.Now().Before(patience):
			// It was kept from trying.
		case errors.Is(err, errYield):
			return e.later(err)
		case asksPerson(err):
			return e.ask(ctx, cause, err)
		case errors.Is(err, errLost), beside(err) != nil:
			return e.needsOperator(ctx, cause, err)
		case e.st.Pending.Attempts+1 >= e.u.attempts():
			return e.needsOperator(ctx, cause, err)
		default:
			if err := e.record(record{Step: stepRecover, Kind: EventBegin}, err); err != nil {
				return e.result(Interrupted), e.failure(Interrupted, cause, err)
			}
		}
		afterReboot = false
		pause := time.NewTimer(e.u.interval())
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// busyTimeout is how long a rollback waits for another program that keeps its
// installer from running. Each time the installer itself waits, too.
const busyTimeout = 3 * time.Hour

// isBusy reports whether another program kept an installer from running, such as one
// that holds the lock of the package manager: that is no failed attempt.
func isBusy(err error) bool {
	busy, ok := errors.AsType[interface {
		error
		Busy() bool
	}](err)
	return ok && busy.Busy()
}

// rollBackOnce rolls back once, in R15's order. After a restart that the
// previous version's installer needed, the data is restored already.
func (e *engine) rollBackOnce(ctx context.Context, afterReboot bool) (reboot bool, err error) {
	// Before the fence: closing it again may end the sessions of an installer
	// that is still running behind it.
	if _, err := e.settle(ctx, false); err != nil {
		return false, err
	}
	if err := e.fenceAgain(ctx); err != nil {
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
	if err := e.compareAll(ctx, e.st.Pending.refs); err != nil {
		return false, err
	}
	if err := e.compareApplication(ctx); err != nil {
		return false, err
	}
	if err := e.app(ctx, stepStart); err != nil {
		return false, err
	}
	if err := e.provePrevious(ctx); err != nil {
		return false, err
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
	for i, part := range slices.Backward(e.u.Parts) {
		if _, ok := part.Installer.(remover); !ok || !e.replaceable(ctx, i) {
			continue
		}
		if err := e.remove(ctx, part, part.To); err != nil {
			return err
		}
	}
	return e.restoreAll(ctx, e.st.Pending.refs)
}

// replaceable reports whether a rollback puts a part's previous version in place
// again. Of a part that the update keeps a person may have installed another version
// by hand; its Setup need not be in the archive, and then it is only probed.
func (e *engine) replaceable(ctx context.Context, i int) bool {
	part := e.u.Parts[i]
	if !e.st.Pending.changed(i) || !e.plan().Parts[i].Keep {
		return e.st.Pending.changed(i)
	}
	err := e.u.within(ctx, e.u.Deadlines.snapshot(), func(ctx context.Context) error { return part.Installer.Ready(ctx, part.From) })
	return err == nil && e.u.checkVouched(ctx, e.st, part, part.From) == nil
}

// remove removes one version, with an installer that is able to remove.
func (e *engine) remove(ctx context.Context, part Part, r Release) error {
	if err := e.keep(ctx); err != nil {
		return err // it may take data with it
	}
	return e.do(ctx, stepRemove, part.Name, e.u.Deadlines.install(), func(ctx context.Context) error {
		return part.Installer.(remover).Remove(ctx, r)
	})
}

// restoreAll restores every dataset from the snapshots given.
func (e *engine) restoreAll(ctx context.Context, refs map[string]string) error {
	if err := e.keep(ctx); err != nil {
		return err
	}
	var jobs []job
	for _, d := range e.u.Data {
		if e.st.Pending.absent[d.Name] {
			continue // what was installed is removed with it
		}
		ref, ok := refs[d.Name]
		if !ok {
			// The guard makes this impossible; a restore that has nothing to
			// restore must never count as one.
			return &stepError{stepRestore, d.Name, errors.New("the journal has no snapshot of it")}
		}
		jobs = append(jobs, e.restoring(d, ref))
	}
	return e.abreast(ctx, stepRestore, jobs, false)
}

// reinstall installs the previous version of each part that may have been
// changed. It reports whether the machine must restart now.
func (e *engine) reinstall(ctx context.Context) (reboot bool, err error) {
	for i, part := range e.u.Parts {
		p := e.st.Pending
		if part.From.Version == "" || p.reinstalled[part.Name] || !e.replaceable(ctx, i) {
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

// provePrevious fails unless every part is healthy at its previous version, and
// stays so.
func (e *engine) provePrevious(ctx context.Context) error {
	want := map[string]Version{}
	parts := slices.DeleteFunc(slices.Clone(e.u.Parts), func(p Part) bool { return e.course().unhealthy(p.Name) }) // nor were they before
	for _, part := range parts {
		want[part.Name] = part.From.Version
		err := e.healthy(ctx, part, want, len(want) == len(parts), func(ctx context.Context) error { return e.probePrevious(ctx, part) })
		if err != nil {
			return err
		}
	}
	return nil
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
