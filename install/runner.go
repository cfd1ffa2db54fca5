package install

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// A Runner runs installers, one at a time. Several runners may share a state
// folder, in one process or in many: the kernel's lock on it lets one work.
type Runner struct {
	// State is a folder of the runner's own, for the record of what runs, the
	// private copies and the log files. It is made with mode 0700 and must
	// lie neither on a volume that forbids running programs nor where the
	// installer, or anyone but this user, writes.
	State   string
	Observe func(Event)      // told what happens; may be nil
	Now     func() time.Time // nil is [time.Now]
}

// Run runs the installer to its end and leaves no process of it behind,
// unless the command says LeavesRunning. The error is nil exactly when the
// status is [OK] or [RebootNeeded]; any other is an [*Error].
//
// When the deadline or the context ends, the whole tree of processes is
// killed at once, without a chance to tidy up. If this process dies, the
// installer lives on: call [Runner.Settle] first thing after a start. Run
// itself fails with [ErrUnsettled] as long as there is something to settle.
func (r Runner) Run(ctx context.Context, cmd Command) (Outcome, error) {
	started := r.now()
	fail := func(err error) (Outcome, error) {
		return Outcome{}, &Error{Op: "run", Path: cmd.Path, Err: err, Next: "nothing was started"}
	}
	c, err := cmd.check()
	if err != nil {
		return fail(err)
	}
	if r, err = r.withState(); err != nil {
		return fail(err)
	}
	unlock, err := r.lock()
	if err != nil {
		return fail(err)
	}
	defer unlock()
	if _, pending, err := r.readRecord(); err != nil {
		return fail(err)
	} else if pending {
		return fail(fmt.Errorf("%w: an installer that was started here before may still be at work; call Settle", ErrUnsettled))
	}
	removeCopies(r.State)

	rec := record{
		Format: recordFormat, ID: newID(), Path: c.Path, SHA256: c.SHA256, Log: c.Log,
		Deadline: c.Deadline, LeavesRunning: c.LeavesRunning,
	}
	if rec.Copy, err = privateCopy(ctx, r.State, rec.ID, c.Path, c.Entry, c.SHA256); err != nil {
		return fail(err)
	}
	r.event(Event{Kind: EventVerified, Path: c.Path, Elapsed: r.now().Sub(started), Text: "the installer has the expected SHA-256"})
	out, err := r.runCopy(ctx, c, rec)
	if err != nil && out.Status == NotRun {
		removeCopies(r.State)
		return fail(err)
	}
	if err != nil {
		e := &Error{Op: "run", Path: c.Path, Status: out.Status, Log: out.Log, Err: err, Next: out.Next}
		if out.Status != Unknown {
			e.Code = out.Code
		}
		return out, e
	}
	return out, nil
}

// runCopy runs the private copy that rec names. An error with the status
// NotRun means that nothing was started.
func (r Runner) runCopy(ctx context.Context, c Command, rec record) (Outcome, error) {
	rec.Started = r.now()
	if rec.Log == "" {
		rec.Log = filepath.Join(r.State, rec.Started.Format("20060102T150405Z")+"-"+rec.ID[:8]+".log")
	}
	log, logged, err := openLog(rec.Log)
	if err != nil {
		return Outcome{}, err
	}
	if err := r.writeRecord(rec); err != nil {
		return Outcome{}, errors.Join(err, log.Close(), r.removeRecord())
	}
	argv := append(append(append([]string{}, c.Launcher...), rec.Copy), c.Args...)
	dir := c.Dir
	if dir == "" {
		dir = filepath.Dir(rec.Copy)
	}
	t, err := launch(ctx, program{argv: argv, dir: dir, env: c.Env, id: rec.ID, stdout: log, stderr: log})
	// From here on the installer writes to the file by itself.
	_ = log.Close()
	if err != nil {
		return Outcome{}, errors.Join(fmt.Errorf("the installer could not be started: %w", err), r.removeRecord())
	}
	defer t.close()
	rec.PID, rec.Birth = t.pid(), t.birth()
	if err := errors.Join(r.writeRecord(rec), t.release()); err != nil {
		// A disk that takes no record takes no installation either: better
		// ended now than half done.
		out := Outcome{Status: Unknown, Meaning: "ended right after its start", Started: rec.Started, Log: rec.Log, Next: nextProbe}
		if endErr := t.end(); endErr != nil {
			return out, errors.Join(err, endErr)
		}
		<-t.exited()
		return out, errors.Join(err, r.removeRecord())
	}
	r.event(Event{Kind: EventStarted, Path: c.Path, PID: rec.PID, Log: rec.Log, Text: fmt.Sprintf("the installer runs as process %d", rec.PID)})

	cause, endErr := r.waitOrEnd(ctx, c, rec, t)
	out := c.outcome(t, cause)
	out.Started, out.Duration = rec.Started, r.now().Sub(rec.Started)
	out.Log, out.Tail = rec.Log, readTail(rec.Log, logged)
	r.event(Event{Kind: EventEnded, Path: c.Path, Log: rec.Log, Status: out.Status, Elapsed: out.Duration, Text: "the installer ended: " + out.Meaning})
	if endErr != nil {
		// Something of it still runs: the record stays, so that Settle finds it.
		out.Next = "end these processes by hand, then call Settle"
		return out, errors.Join(out.err(cause), endErr)
	}
	removeCopies(r.State)
	return out, errors.Join(out.err(cause), r.removeRecord())
}

// waitOrEnd waits until the run is over, or ends it when the deadline or the
// context says so. The cause is nil if it came to its own end; endErr tells
// that processes are left.
func (r Runner) waitOrEnd(ctx context.Context, c Command, rec record, t *tree) (cause, endErr error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.Deadline, fmt.Errorf("%w: the installer was not done after %s", ErrTimeout, c.Deadline))
	defer cancel()
	select {
	case <-t.exited():
		if c.LeavesRunning {
			return nil, nil
		}
		n, err := t.count()
		if n > 0 {
			r.event(Event{
				Kind: EventLingering, Path: c.Path, Log: rec.Log, Elapsed: r.now().Sub(rec.Started),
				Text: fmt.Sprintf("the installer has ended, %d processes that it started have not: waiting for them", n),
			})
			cause, err = waitGone(ctx, t.count)
		}
		if cause == nil {
			return nil, err
		}
	case <-ctx.Done():
		cause = context.Cause(ctx)
	}
	if err := t.end(); err != nil {
		return cause, err
	}
	<-t.exited()
	return cause, nil
}

// waitGone polls until count says 0. The cause is that for which ctx ended
// first; err tells that counting failed.
func waitGone(ctx context.Context, count func() (int, error)) (cause, err error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		n, err := count()
		if err != nil || n == 0 {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx), nil
		case <-time.After(pause):
		}
	}
}

const nextProbe = "ask the probe what is installed before going on or back"

// outcome classifies a run that is over. cause tells why it was ended by us.
func (c Command) outcome(t *tree, cause error) Outcome {
	code, signaled, exited := t.result()
	out := Outcome{Code: code, Next: nextProbe}
	switch {
	case errors.Is(cause, ErrTimeout), errors.Is(cause, context.DeadlineExceeded):
		out.Status, out.Meaning = TimedOut, "ended at its deadline"
	case cause != nil:
		out.Status, out.Meaning = Canceled, "ended because the run was canceled"
	case !exited:
		out.Status, out.Meaning = Unknown, "its exit code could not be read"
	case signaled:
		out.Status, out.Meaning = Failed, fmt.Sprintf("killed from outside by signal %d", code-128)
	default:
		v := c.Codes.Verdict(code)
		out.Status, out.Meaning, out.Next = v.Status, v.Meaning, v.Next
	}
	return out
}

// err is the error that goes with the outcome.
func (o Outcome) err(cause error) error {
	switch {
	case cause != nil && o.Status == TimedOut && !errors.Is(cause, ErrTimeout):
		return fmt.Errorf("%w: %w", ErrTimeout, cause)
	case cause != nil:
		return cause
	case o.Status == OK, o.Status == RebootNeeded:
		return nil
	case o.Status == Unknown:
		return fmt.Errorf("%w: %s", ErrFailed, o.Meaning)
	}
	return fmt.Errorf("%w: exit code %d, %s", ErrFailed, o.Code, o.Meaning)
}

// withState returns r with an absolute state folder.
func (r Runner) withState() (Runner, error) {
	if r.State == "" {
		return r, errors.New("the runner has no state folder; set State")
	}
	abs, err := filepath.Abs(r.State)
	r.State = abs
	return r, err
}

func (r Runner) now() time.Time {
	if r.Now == nil {
		return time.Now().UTC()
	}
	return r.Now().UTC()
}

func (r Runner) event(e Event) {
	if r.Observe == nil {
		return
	}
	e.Time = r.now()
	r.Observe(e)
}

// newID returns the name of a run. It is no secret, only unique.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, says its documentation
	return hex.EncodeToString(b[:])
}
