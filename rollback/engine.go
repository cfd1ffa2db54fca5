package rollback

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// An engine is a running update: the lock is held, the journal open.
type engine struct {
	u    *Update
	lock *Lock
	j    *journal
	st   Status // always what replaying the journal gives
	id   string

	direction string
	identity  string // the journal's, or the one that it gets with its first record
	marker    *marker
	gate      gate
	stop      context.Context // of a recovery: ends its waits for answers; nil in an update
	keeper    *keeper         // of the application that was started; nil without
	counted   bool            // as an attempt, by this process
	closed    string          // the update whose fence this process has closed itself
	goesOn    bool            // another update, or an operator's rollback, follows recovery
}

// open checks the Update and begins.
func (u *Update) open(doing string) (*engine, error) {
	if err := u.Check(); err != nil {
		return nil, err
	}
	return u.begin(doing)
}

// begin makes the state directory, takes the lock and reads the journal.
func (u *Update) begin(doing string) (*engine, error) {
	if !filepath.IsAbs(u.Dir) {
		return nil, u.relative()
	}
	if err := durable.MkdirAll(u.Dir, 0o700); err != nil {
		return nil, fileError("make the state directory", u.Dir, err)
	}
	lock, err := Acquire(u.Dir, doing, u.now())
	if err != nil {
		return nil, err
	}
	j, err := openJournal(u.Dir)
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	e := &engine{u: u, lock: lock, j: j, st: replay(j.records), marker: newMarker(u.tuning)}
	silent, err := e.marker.check(u.Dir, u.Kept, e.st.journal, j.segment())
	if err != nil {
		e.close()
		return nil, err
	}
	e.unmarked(silent)
	if p := e.st.Pending; p != nil {
		e.id, e.direction = p.Update, p.Direction
	}
	return e, nil
}

func (e *engine) close() {
	// Neither failure can undo what is journaled; the kernel frees the lock
	// with the process at the latest.
	_ = e.j.close()
	_ = e.lock.Release()
}

// A stepError remembers which step failed.
type stepError struct {
	step Step
	part string
	err  error
}

func (s *stepError) Error() string { return s.err.Error() }
func (s *stepError) Unwrap() error { return s.err }

// record journals r, applies it to the status and calls the observer.
func (e *engine) record(r record, cause error) error {
	r.Time, r.Update = e.u.now().UTC(), e.id
	if r.Direction == "" {
		r.Direction = e.direction
	}
	if cause != nil {
		r.Error = cause.Error()
	}
	// A lock that was removed lets another process in, whose records must not
	// be mixed with ours.
	if err := e.lock.check(); err != nil {
		return e.j.fail(e.notOurs(err))
	}
	if e.st.journal == "" {
		r.Journal = cmp.Or(e.identity, newJournal())
	}
	if full := e.u.tuning.full; full != nil {
		if err := full(); err != nil {
			return e.j.fail(fileError("write", e.j.path, err))
		}
	}
	err := e.j.append(r)
	if errors.Is(err, ErrDamaged) {
		return e.notOurs(err)
	} else if err != nil {
		return err
	}
	e.st.apply(r)
	if r.marked() {
		// A failure refuses an update that begins, and after that it must not keep
		// anything from its end.
		err = e.writeMarks()
	}
	if e.u.Observe != nil {
		e.u.Observe(r.event(cause))
	}
	e.unmarked(err)
	return nil
}

// note reports to the observer what is not journaled.
func (e *engine) note(step Step, text string) {
	if e.u.Observe != nil {
		e.u.Observe(Event{Time: e.u.now().UTC(), Kind: eventNote, Step: step, Text: text, direction: e.direction})
	}
}

// notOurs returns the error of a lock or a journal that another process uses
// too. Before the first damage it is a refusal.
func (e *engine) notOurs(err error) error {
	if p := e.st.Pending; p != nil && p.Damaged {
		return err
	}
	return &Error{Reason: ReasonState, Err: err}
}

// do runs one step: its begin is durable before call, its end after it.
func (e *engine) do(ctx context.Context, step Step, part string, d time.Duration, call func(context.Context) error) error {
	return e.doRecord(ctx, step, part, d, func(ctx context.Context) (record, error) { return record{}, call(ctx) })
}

// doRecord is do for a call that returns what its end is journaled with. A
// zero deadline is none.
func (e *engine) doRecord(ctx context.Context, step Step, part string, d time.Duration, call func(context.Context) (record, error)) error {
	if err := e.began(step, part); err != nil {
		return err
	}
	ctx, cancel := limited(ctx, step, d)
	defer cancel()
	done, err := call(ctx)
	return e.ended(step, part, done, err)
}

// limited bounds a step. A zero deadline is none.
func limited(ctx context.Context, step Step, d time.Duration) (context.Context, context.CancelFunc) {
	if d == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("the deadline of %v for %s passed: %w", d, step, context.DeadlineExceeded))
}

// began journals the begin of a step.
func (e *engine) began(step Step, part string) error {
	if err := e.record(record{Step: step, Kind: EventBegin, Part: part}, nil); err != nil {
		return &stepError{step, part, err}
	}
	return nil
}

// ended journals the end of a step, and returns why it failed.
func (e *engine) ended(step Step, part string, done record, err error) error {
	if err != nil {
		err = &stepError{step, part, err}
		return errors.Join(err, e.record(record{Step: step, Kind: EventFailed, Part: part, Differing: beside(err)}, err))
	}
	done.Step, done.Kind, done.Part = step, EventDone, part
	if err := e.record(done, nil); err != nil {
		return &stepError{step, part, err}
	}
	return nil
}

// app stops or starts the application, if there is one: not before a first
// installation, nor once that is rolled back.
func (e *engine) app(ctx context.Context, step Step) error {
	call := e.starter(step)
	if call == nil {
		return nil
	}
	e.keeper = nil
	err := e.do(ctx, step, "", e.u.Deadlines.fence(), call)
	if err == nil && step == stepStart {
		e.keepRunning(ctx)
	}
	return err
}

// starter returns what stops or starts the application, nil if there is none.
func (e *engine) starter(step Step) func(context.Context) error {
	before := step == stepStop && e.direction == forward || step == stepStart && e.direction == back
	switch {
	case e.u.App == nil || before && e.plan().first():
		return nil
	case step == stepStop:
		return e.u.App.Stop
	}
	return e.start
}

// start starts the application. A command that fails because it runs already
// has not failed: what counts is that every part is healthy. But a probe may know
// less than the application: one that reports that it is stopped is, and a
// command that was killed has reported nothing.
func (e *engine) start(ctx context.Context) error {
	err := e.u.App.Start(ctx)
	if err == nil {
		return nil
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && !exit.Exited() {
		return err
	}
	if a, ok := e.u.App.(asker); ok {
		if stopped, aerr := a.Closed(ctx); aerr == nil && stopped {
			return err
		}
	}
	for _, part := range e.u.Parts {
		if v, perr := e.u.probe(ctx, part); perr != nil || v == "" {
			return err
		}
	}
	return nil
}

// settled reports whether how the pending update ends is durable.
func (e *engine) settled() bool { return e.st.Pending != nil && e.st.Pending.decided() }

func (e *engine) plan() Plan     { return e.st.Pending.Plan }
func (e *engine) course() course { return e.st.Pending.course }

func (e *engine) result(o Outcome) Result {
	res := Result{Outcome: o, Update: e.id}
	if p := e.st.Pending; p != nil {
		res.Plan, res.Refs, res.Kept = p.Plan, p.refs, p.keptList()
	}
	return res
}

// failure makes the error of an update that did not commit.
func (e *engine) failure(o Outcome, cause, rollback error) *Error {
	f := &Error{Op: string(stepRecover), Err: cause, Next: endings[o].next, Outcome: o, Update: e.id, rollback: rollback}
	if e.st.Pending != nil {
		f.kept = e.st.Pending.keptList()
		if o == NeedsOperator {
			_ = f.without(e.st.Pending)
		}
		_, f.reverting = e.course().(reverting)
	}
	if strings.Contains(endings[o].state, keptOut) {
		f.users = e.users(context.Background())
		f.Unfenced = f.users != keptOut && !e.settled()
		if o == Interrupted && e.settled() {
			f.settled = e.st.Pending.Outcome
		}
	}
	if refusal, ok := errors.AsType[*Error](cause); ok {
		f.Reason = refusal.Reason
	}
	if s, ok := errors.AsType[*stepError](cause); ok {
		f.Op, f.Subject = string(s.step), s.part
	}
	return f
}

// interrupted ends the run where it is: the journal cannot be written, or users
// cannot be let in. Recover goes on from here.
func (e *engine) interrupted(cause error) (Result, error) {
	return e.result(Interrupted), e.failure(Interrupted, cause, nil)
}

// newID names an update by its start, readable and sortable.
func newID(now time.Time) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(b[:])
}
