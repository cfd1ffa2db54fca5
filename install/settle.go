package install

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/internal/process"
)

// A Finding is what [Runner.Settle] found.
type Finding string

// The findings.
const (
	Nothing  Finding = "nothing"  // no run was pending
	Gone     Finding = "gone"     // a run was pending, no process of it is left: it ended before, or never began
	Finished Finding = "finished" // it was still at work and has come to its own end
	Ended    Finding = "ended"    // it was past its deadline and was ended
	Running  Finding = "running"  // it is still at work: the error says why it was left so
)

// A Settlement is what became of an installer that an earlier process left.
type Settlement struct {
	Found Finding
	Path  string // the installer, as it was named then
	// Outcome has the status NotRun if nothing was pending, and TimedOut
	// after Ended. After Finished it is as [Runner.Run] would have it where
	// the system tells the exit code of a process that another one started,
	// which Windows does. Else it is Unknown. Ask the probe in any case.
	Outcome Outcome
}

// Settle finds the installer that a process before this one left running,
// waits for it to come to its own end, or ends it once the deadline that it
// was started with has passed. It is the first thing to do after a start, and
// does nothing where nothing is pending. When ctx ends first, the installer
// goes on, stays recorded, and the error wraps the context's cause.
func (r Runner) Settle(ctx context.Context) (Settlement, error) {
	rec := record{}
	fail := func(found Finding, err error, next string) (Settlement, error) {
		s := Settlement{Found: found, Path: rec.Path}
		if found != Nothing {
			s.Outcome = Outcome{Status: Unknown, Next: nextProbe, Started: rec.Started, Log: rec.Log}
		}
		return s, &Error{Op: "settle", Path: rec.Path, Status: s.Outcome.Status, Log: rec.Log, Err: err, Next: next}
	}
	r, err := r.withState()
	if err != nil {
		return fail(Nothing, err, "")
	}
	unlock, err := r.lock()
	if err != nil {
		return fail(Nothing, err, "")
	}
	defer unlock()
	rec, pending, err := r.readRecord()
	if err != nil {
		return fail(Nothing, err, "")
	}
	if !pending {
		removeLeftovers(r.State)
		return Settlement{Found: Nothing}, nil
	}
	t, err := process.Find(rec.Record)
	if err != nil {
		return fail(Running, err, "it may still run; settle again")
	}
	defer t.Close()
	found, err := r.settle(ctx, rec, t)
	if err != nil {
		return fail(found, err, "it may still run; settle again, or end it by hand")
	}
	removeLeftovers(r.State)
	if err := r.removeRecord(); err != nil {
		return fail(found, err, "no process of it is left; make the state folder writable and settle again")
	}
	s := Settlement{Found: found, Path: rec.Path, Outcome: Outcome{
		Status: Unknown, Meaning: "the process that started it is no more, and its exit code with it", Next: nextProbe,
		Started: rec.Started, Kind: rec.Kind, Attempts: 1,
	}}
	s.Outcome.Log, s.Outcome.OwnLog, s.Outcome.Tail = rec.logs(0)
	if found == Ended {
		s.Outcome.Status, s.Outcome.Meaning = TimedOut, "ended past its deadline"
	}
	if exit, ok := t.Exit(); ok && found == Finished {
		v := Command{Codes: rec.Codes, Uninstall: rec.Uninstall}.verdict(exit.Code)
		s.Outcome.Status, s.Outcome.Code, s.Outcome.Meaning = v.Status, exit.Code, v.Meaning
	}
	if found != Gone {
		s.Outcome.Duration = r.now().Sub(rec.Started)
		r.event(Event{Kind: EventEnded, Path: rec.Path, Log: rec.Log, Status: s.Outcome.Status, Elapsed: s.Outcome.Duration, Text: "the installer of an earlier run ended: " + s.Outcome.Meaning})
	}
	return s, nil
}

// errPastDeadline tells our own limit from the caller's.
var errPastDeadline = errors.New("past its deadline")

// settle waits for the tree of rec, or ends it when its time is up.
func (r Runner) settle(ctx context.Context, rec record, t *process.Tree) (Finding, error) {
	alive := t.Alive
	if rec.LeavesRunning {
		alive = t.RootAlive
	}
	if rec.Kind.worksInService() {
		// The service may be at work for someone else. To wait is right all the same.
		ours := alive
		alive = func() (bool, error) {
			yes, err := ours()
			busy, serviceErr := serviceBusy()
			return yes || busy, errors.Join(err, serviceErr)
		}
	}
	yes, err := alive()
	if err != nil {
		return Running, err
	}
	if !yes {
		return Gone, nil
	}
	if t.Suspended() {
		// It never ran, and nobody is left to let it run.
		return Gone, t.End()
	}
	// A clock that was set back does not make the deadline longer.
	left := min(rec.Started.Add(rec.Deadline).Sub(r.now()), rec.Deadline)
	r.event(Event{
		Kind: EventSettling, Path: rec.Path, PID: rec.PID, Log: rec.Log, Elapsed: r.now().Sub(rec.Started),
		Text: fmt.Sprintf("an installer of an earlier run is still at work: waiting for it, at most %s", max(left, 0).Round(time.Second)),
	})
	wait, cancel := context.WithTimeoutCause(ctx, left, errPastDeadline)
	defer cancel()
	switch cause, err := process.Poll(wait, alive); {
	case err != nil:
		return Running, err
	case cause == nil:
		return Finished, nil
	case !errors.Is(cause, errPastDeadline):
		return Running, cause
	}
	if err := t.End(); err != nil {
		return Running, err
	}
	if rec.Kind.worksInService() {
		if err := awaitService(r.serviceLimit); err != nil {
			return Running, err
		}
	}
	return Ended, nil
}
