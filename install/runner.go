package install

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/internal/process"
)

// A Runner runs installers, one at a time. Several runners may share a state
// directory, in one process or in many: a lock of the kernel admits one.
type Runner struct {
	// State is a directory of the runner's own, for the record of what runs, the
	// private copies and the log files. It is created with mode 0700 and must
	// belong to this user or root. It must not be on a volume that forbids
	// running programs, nor where the installer or another user writes.
	State   string
	Observe func(Event) // may be nil
	// Output, if not nil, is called with what the installer prints while it
	// runs: decoded, without control characters, mostly in whole lines. It is
	// called from a goroutine of its own, by one call at a time, and not after
	// Run has returned. The log file has all of the output.
	Output func(text string)

	// For tests; the zero values are the system's and the constants.
	now            func() time.Time
	serviceTimeout time.Duration
	elevated       func() (bool, error)
	noGroup        bool          // as where control groups cannot be made
	busyInterval   time.Duration // negative: not started again
	busyTimeout    time.Duration

	applicationTimeout time.Duration
	silence            func(*silence) // changes its times
}

// Run runs the installer to its end and leaves no process of it behind but those of
// the Application, or any if LeavesRunning is set. The error is nil exactly if the status is [OK] or
// [RebootNeeded]; any other is an [*Error].
//
// When the deadline or the context ends, the whole tree of processes is killed
// at once, without a chance to clean up. For kinds [MSI] and [Burn] Run then
// waits up to 10 min for the service of Windows Installer, which rolls its
// changes back, and returns [Unknown] if that is still running. An installer
// that is [Busy] is started again for up to half an hour, and within its deadline.
// If this process dies, the installer
// lives on: call [Runner.Settle] first after a start. Run fails with
// [ErrUnsettled] as long as there is something to settle.
func (r *Runner) Run(ctx context.Context, cmd Command) (Outcome, error) {
	started := r.clock()
	fail := func(err error) (Outcome, error) {
		return Outcome{}, &Error{Op: "run", Subject: cmd.Path, Err: err, Next: "nothing was started"}
	}
	c, err := cmd.within(ctx).check()
	if err != nil {
		return fail(err)
	}
	if r, err = r.absolute(); err != nil {
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
		return fail(fmt.Errorf("%w: an installer that was started before may still be running; call Settle", ErrUnsettled))
	}
	if reasons, err := rebootPending(); err == nil && len(reasons) > 0 {
		r.event(eventRebootPending, 0, time.Time{}, "the machine already waits for a restart: %s", strings.Join(reasons, ", "))
	}
	removeLeftovers(r.State)

	rec := record{
		Record: process.NewRecord(), Format: recordFormat, Path: c.Path, SHA256: c.SHA256, Log: c.Log, LeavesRunning: c.LeavesRunning,
		Application: c.Application, CodePage: codePage(c.CodePage),
	}
	if r.noGroup {
		rec.Group = ""
	}
	if rec.Program, err = privateCopy(ctx, r.State, rec.ID, c.Path, c.SHA256, c.Entry); err != nil {
		return fail(err)
	}
	if err := private.Mkdir(r.tempDir(rec.ID)); err != nil {
		removeLeftovers(r.State)
		return fail(err)
	}
	r.event(eventVerified, 0, started, "the installer has the expected SHA-256")
	if c, err = c.resolve(fileAt(rec.Program)); err == nil {
		err = errors.Join(c.rights(fileAt(rec.Program), r.elevated), c.startable(r.State))
	}
	if err == nil {
		err = c.checkBatch(rec.Program)
	}
	if err == nil && ctx.Err() != nil { // better not started than ended at once
		err = context.Cause(ctx)
	}
	if err != nil {
		removeLeftovers(r.State)
		return fail(err)
	}
	out, err := r.runUntilFree(ctx, c, rec)
	if _, pending, recErr := r.readRecord(); recErr == nil && !pending { // otherwise one of its processes still runs
		removeLeftovers(r.State)
	}
	if err != nil && out.Status == notRun {
		return fail(err)
	}
	if err != nil {
		return out, &Error{Op: "run", Subject: c.Path, Err: err, Next: out.Next, logs: out.logs()}
	}
	return out, nil
}

// runCopy runs the private copy that rec names. An error with the status
// notRun means that nothing was started.
func (r *Runner) runCopy(ctx context.Context, c Command, rec record) (Outcome, error) {
	rec.Started, rec.Kind, rec.Deadline = r.clock(), c.Kind, c.Deadline
	rec.Codes, rec.Uninstall = c.Codes, c.Uninstall
	if rec.Log == "" {
		rec.Log = filepath.Join(r.State, rec.Started.Format("20060102T150405Z")+"-"+rec.ID[:8]+".log")
	}
	inv, err := c.invoke(ctx, fileAt(rec.Program), ownLog(rec.Log))
	if err != nil {
		return Outcome{}, err
	}
	if inv.ownLog {
		rec.OwnLog = ownLog(rec.Log)
		if err := makePrivate(rec.OwnLog); err != nil {
			return Outcome{}, err
		}
	}
	log, logged, err := openLog(rec.Log)
	if err != nil {
		return Outcome{}, err
	}
	t, err := process.Start(inv.command(c, rec.Program, r.tempDir(rec.ID), log), rec.Record, func(tree process.Record) error {
		rec.Record = tree
		return r.writeRecord(rec)
	})
	_ = log.Close() // the installer writes to the file by itself
	if t != nil {
		defer t.Close()
	}
	switch {
	case err != nil && t == nil:
		return Outcome{}, errors.Join(fmt.Errorf("the installer could not be started: %w", err), r.removeRecord())
	case err != nil:
		// A disk without space for a record has none for an installation: it was
		// ended at once.
		out := Outcome{Status: Unknown, Meaning: "ended right after its start", started: rec.Started, Log: rec.Log, Next: nextProbe}
		if endErr := t.End(); endErr != nil {
			return out, err
		}
		<-t.Exited()
		return out, errors.Join(err, r.removeRecord())
	}
	w := newSilence(r.Output, rec.CodePage)
	if r.silence != nil {
		r.silence(w)
	}
	shown := process.Follow(rec.Log, logged, process.LogLimits, w.seen)
	defer shown()
	r.event(eventStarted, rec.PID, rec.Started, "the installer runs as process %d", rec.PID)

	cause, endErr := r.waitOrEnd(ctx, c, rec, t, w)
	shown()
	w.end()
	out := Outcome{}
	out.Log, out.OwnLog, out.Tail = rec.logs(logged)
	out = c.outcome(out, t, cause)
	r.heed(rec, &out)
	if cause != nil && endErr == nil && c.Kind.worksInService() {
		if endErr = awaitService(r.serviceTimeout); endErr != nil {
			out.Status, out.Meaning = Unknown, out.Meaning+", but the service of Windows Installer goes on"
		}
	}
	out.started, out.duration = rec.Started, r.clock().Sub(rec.Started)
	r.event(eventEnded, 0, rec.Started, "the installer ended after %s: %s", out.duration.Round(time.Second), out.Meaning)
	if endErr != nil {
		// A process still runs: the record stays, so that Settle finds it.
		out.Next = nextEnd
		if errors.Is(endErr, errService) {
			out.Next = nextService
		}
		return out, errors.Join(out.err(cause), endErr)
	}
	return out, errors.Join(out.err(cause), r.removeRecord())
}

const (
	nextProbe = "query the probe for what is installed before going on or back"
	nextEnd   = "end these processes by hand, then call Settle"
)

// outcome classifies a run that has ended and left the logs in out. cause is why
// the runner ended it, if it did.
func (c Command) outcome(out Outcome, t *process.Tree, cause error) Outcome {
	exit, exited := t.Exit()
	out.Code, out.Next = exit.Code, nextProbe
	switch {
	case errors.Is(cause, ErrTimeout), errors.Is(cause, context.DeadlineExceeded):
		out.Status, out.Meaning = timedOut, "ended at its deadline"
	case cause != nil:
		out.Status, out.Meaning = Canceled, "ended because the run was canceled"
	case !exited:
		out.Status, out.Meaning = Unknown, "its exit code could not be read"
	case exit.Signaled:
		out.Status, out.Meaning = Failed, fmt.Sprintf("killed by another program with signal %d", exit.Code-128)
	default:
		v := c.verdictOf(exit.Code, out.Tail)
		out.Status, out.Meaning, out.Next = v.Status, v.Meaning, v.Next
	}
	return out
}

func (c Command) verdict(code uint32) Verdict {
	if c.Uninstall && code == notInstalled {
		return Verdict{Status: OK, Meaning: "it was not installed"} // a rollback may be repeated
	}
	return c.Codes.verdict(code)
}

// err returns the error that belongs to the outcome.
func (o Outcome) err(cause error) error {
	switch {
	case cause != nil && o.Status == timedOut && !errors.Is(cause, ErrTimeout):
		return fmt.Errorf("%w: %w", ErrTimeout, cause)
	case cause != nil:
		return cause
	case o.Status == OK, o.Status == RebootNeeded:
		return nil
	case o.Status == Unknown:
		return fmt.Errorf("%w: %s", ErrFailed, o.Meaning)
	}
	if o.Code > 0xFFFF { // these are known by their hexadecimal digits
		return fmt.Errorf("%w: exit code %d (%#x), %s", ErrFailed, o.Code, o.Code, o.Meaning)
	}
	return fmt.Errorf("%w: exit code %d, %s", ErrFailed, o.Code, o.Meaning)
}

// tempDir returns the directory for the temporary files of a run.
func (r *Runner) tempDir(id string) string { return filepath.Join(r.State, tempPrefix+id) }

// absolute returns a copy of r with an absolute state directory and defaults.
func (r *Runner) absolute() (*Runner, error) {
	if r.State == "" {
		return nil, errors.New("the runner has no state directory; set State")
	}
	c := *r
	if c.elevated == nil {
		c.elevated = elevated
	}
	var err error
	c.State, err = filepath.Abs(r.State)
	return &c, err
}

// clock returns the time in UTC.
func (r *Runner) clock() time.Time {
	if r.now == nil {
		return time.Now().UTC()
	}
	return r.now().UTC()
}

// event reports a step of what began at since; a zero since is now.
func (r *Runner) event(kind EventKind, pid int, since time.Time, format string, args ...any) {
	if r.Observe == nil {
		return
	}
	e := Event{Time: r.clock(), Kind: kind, Text: fmt.Sprintf(format, args...), PID: pid}
	if !since.IsZero() {
		e.Elapsed = e.Time.Sub(since)
	}
	r.Observe(e)
}
