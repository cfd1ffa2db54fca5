package rollback

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// An engine is an update under way: the lock is held, the journal open.
type engine struct {
	u    *Update
	lock *Lock
	j    *Journal
	st   Status // always what replaying the journal gives
	id   string
	way  Way
}

func (e *engine) close() {
	// Neither failure can undo what is journaled; the kernel frees the lock
	// with the process at the latest.
	_ = e.j.Close()
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

// record journals r, applies it to the status and tells the observer.
func (e *engine) record(r Record, cause error) error {
	r.Time, r.Update = e.u.now().UTC(), e.id
	if r.Way == "" {
		r.Way = e.way
	}
	if cause != nil {
		r.Error = cause.Error()
	}
	if err := e.j.Append(r); err != nil {
		return err
	}
	e.st.apply(r)
	if e.u.Observe != nil {
		e.u.Observe(Event{Record: r, Err: cause})
	}
	return nil
}

// do runs one step: its begin is durable before call, its end after it.
func (e *engine) do(ctx context.Context, step Step, part string, d time.Duration, call func(context.Context) error) error {
	return e.doRef(ctx, step, part, d, func(ctx context.Context) (string, error) { return "", call(ctx) })
}

// doRef is do for a call that returns a reference to be journaled. A zero
// deadline is none.
func (e *engine) doRef(ctx context.Context, step Step, part string, d time.Duration, call func(context.Context) (string, error)) error {
	if err := e.record(Record{Step: step, Phase: Begin, Part: part}, nil); err != nil {
		return &stepError{step, part, err}
	}
	if d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, fmt.Errorf("the deadline of %v for %s passed: %w", d, step, context.DeadlineExceeded))
		defer cancel()
	}
	ref, err := call(ctx)
	if err != nil {
		err = &stepError{step, part, err}
		return errors.Join(err, e.record(Record{Step: step, Phase: Failed, Part: part}, err))
	}
	if err := e.record(Record{Step: step, Phase: Done, Part: part, Ref: ref}, nil); err != nil {
		return &stepError{step, part, err}
	}
	return nil
}

// app stops or starts the application, if that is ours to do.
func (e *engine) app(ctx context.Context, step Step) error {
	if e.u.App == nil {
		return nil
	}
	call := e.u.App.Start
	if step == StepStop {
		call = e.u.App.Stop
	}
	return e.do(ctx, step, "", e.u.Deadlines.fence(), call)
}

func (e *engine) plan() Plan { return e.st.Pending.Plan }

func (e *engine) result(o Outcome) Result {
	res := Result{Outcome: o, Update: e.id}
	if p := e.st.Pending; p != nil {
		res.Plan, res.Refs = p.Plan, p.Refs
	}
	return res
}

// failure makes the error of an update that did not commit.
func (e *engine) failure(o Outcome, cause, undo error) error {
	f := &Error{Outcome: o, Update: e.id, Step: StepRecover, Err: cause, Undo: undo}
	if s, ok := errors.AsType[*stepError](cause); ok {
		f.Step, f.Part = s.step, s.part
	}
	return f
}

// interrupted stops where things are: the journal cannot be written, or
// users cannot be let in. Recover goes on from here.
func (e *engine) interrupted(cause error) (Result, error) {
	return e.result(Interrupted), e.failure(Interrupted, cause, nil)
}

// newID names an update by its start, readable and sortable.
func newID(now time.Time) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return now.UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(b[:])
}
