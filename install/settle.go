package install

import (
	"context"
	"errors"
	"time"

	"github.com/aspupdate/aspupdate/internal/process"
)

// A Finding is what [Runner.Settle] found: "nothing", if no run was pending;
// "gone", if one was and no process of it is left; [Finished]; "ended", if it
// was past its deadline and was ended; or "running", for the reason in the error.
type Finding string

// Finished means that the installer was still running and has ended by itself.
const Finished Finding = "finished"

const (
	foundNothing Finding = "nothing"
	foundGone    Finding = "gone" // it ended before, or never began
	foundEnded   Finding = "ended"
	foundRunning Finding = "running"
)

// A Settlement is the result of settling an installer that an earlier process
// left.
type Settlement struct {
	Found Finding
	// Outcome is zero if nothing was pending, and has the status "timed-out" if the
	// installer was ended. After Finished it is as [Runner.Run] would return it on
	// Windows, where the exit code of another process's child can be read.
	// Otherwise it is Unknown. Query the probe in any case.
	Outcome Outcome
}

// Settle finds the installer that an earlier process left running, waits for
// its end, or ends it once the deadline of its command has passed. Call it
// first after a start; it does nothing if nothing is pending. If ctx ends
// first, the installer goes on and stays recorded, and the error wraps the
// cause of ctx.
func (r *Runner) Settle(ctx context.Context) (Settlement, error) {
	rec := record{}
	fail := func(found Finding, err error, next string) (Settlement, error) {
		s := Settlement{Found: found}
		if found != foundNothing {
			s.Outcome = Outcome{Status: Unknown, Next: nextProbe, started: rec.Started, Log: rec.Log}
		}
		return s, &Error{Op: "settle", Subject: rec.Path, Err: err, Next: next, logs: s.Outcome.logs()}
	}
	r, err := r.absolute()
	if err != nil {
		return fail(foundNothing, err, "")
	}
	unlock, err := r.lock()
	if err != nil {
		return fail(foundNothing, err, "")
	}
	defer unlock()
	rec, pending, err := r.readRecord()
	if err != nil {
		return fail(foundNothing, err, "")
	}
	if !pending {
		removeLeftovers(r.State)
		return Settlement{Found: foundNothing}, nil
	}
	t, err := process.Find(rec.Record)
	if err != nil {
		return fail(foundRunning, err, "it may still run; settle again")
	}
	defer t.Close()
	defer process.Limit(rec.Log, process.LogLimits)() // it goes on printing
	found, err := r.settle(ctx, rec, t)
	if err != nil {
		return fail(found, err, "it may still run; settle again, or end it by hand")
	}
	removeLeftovers(r.State)
	if err := r.removeRecord(); err != nil {
		return fail(found, err, "all of its processes have ended; make the state directory writable and settle again")
	}
	s := Settlement{Found: found, Outcome: Outcome{
		Status: Unknown, Meaning: "the process that started it has died, and its exit code is not known", Next: nextProbe,
		started: rec.Started, Kind: rec.Kind, attempts: 1,
	}}
	s.Outcome.Log, s.Outcome.OwnLog, s.Outcome.Tail = rec.logs(0)
	if found == foundEnded {
		s.Outcome.Status, s.Outcome.Meaning = timedOut, "ended past its deadline"
	}
	if exit, ok := t.Exit(); ok && found == Finished {
		v := Command{Kind: rec.Kind, Codes: rec.Codes, Uninstall: rec.Uninstall}.verdictOf(exit.Code, s.Outcome.Tail)
		s.Outcome.Status, s.Outcome.Code, s.Outcome.Meaning = v.Status, exit.Code, v.Meaning
		r.heed(rec, &s.Outcome)
	}
	if found != foundGone {
		s.Outcome.duration = r.clock().Sub(rec.Started)
		r.event(eventEnded, 0, rec.Started, "the installer of an earlier run ended after %s: %s", s.Outcome.duration.Round(time.Second), s.Outcome.Meaning)
	}
	return s, nil
}

// errPastDeadline distinguishes the command's deadline from the caller's.
var errPastDeadline = errors.New("past its deadline")

// settle waits for the tree of rec, or ends it when its time is up.
func (r *Runner) settle(ctx context.Context, rec record, t *process.Tree) (Finding, error) {
	rest := r.rest(rec, t, nil)
	alive := func() (bool, error) {
		if rec.PID != 0 || rec.LeavesRunning { // otherwise the root is not known everywhere
			if root, err := t.RootAlive(); root || err != nil {
				return root, err
			}
		}
		return rest.alive()
	}
	if rec.Kind.worksInService() {
		// The service may be busy for another program. Waiting is right all the same.
		ours := alive
		alive = func() (bool, error) {
			yes, err := ours()
			busy, serviceErr := serviceBusy()
			return yes || busy, errors.Join(err, serviceErr)
		}
	}
	yes, err := alive()
	if err != nil {
		return foundRunning, err
	}
	if !yes {
		return foundGone, nil
	}
	if t.Suspended() {
		// It never ran, and the process that would have resumed it is dead.
		return foundGone, t.End()
	}
	// A clock that was set back does not extend the deadline.
	left := min(rec.Started.Add(rec.Deadline).Sub(r.clock()), rec.Deadline)
	r.event(eventSettling, rec.PID, rec.Started, "an installer of an earlier run is still running: waiting for it, at most %s", max(left, 0).Round(time.Second))
	wait, cancel := context.WithTimeoutCause(ctx, left, errPastDeadline)
	defer cancel()
	switch cause, err := process.Poll(wait, alive); {
	case err != nil:
		return foundRunning, err
	case cause == nil:
		return Finished, nil
	case !errors.Is(cause, errPastDeadline):
		return foundRunning, cause
	}
	if err := t.End(); err != nil {
		return foundRunning, err
	}
	if rec.Kind.worksInService() {
		if err := awaitService(r.serviceTimeout); err != nil {
			return foundRunning, err
		}
	}
	return foundEnded, nil
}
