package rollback

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Healthy for a moment is not healthy: a program that answers once and dies has
// failed, and one answer is no verdict on what a crash left.

// pollSteady is the time between two checks of parts that must stay healthy.
func (u *Update) pollSteady() time.Duration {
	return min(max(u.steady()/15, time.Millisecond), 2*time.Second)
}

// steadily fails unless every part that is wanted stays healthy at the version
// wanted for the time of Steady. One check that fails begins that time again, a
// second one after it is the end: what died within it was not healthy.
func (e *engine) steadily(ctx context.Context, want map[string]Version) error {
	limit := 4*e.u.steady() + time.Minute
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not steady within %v: %w", limit, context.DeadlineExceeded))
	defer cancel()
	since, failed, was := time.Now(), false, false
	for {
		err := e.unsteady(ctx, want)
		switch {
		case err != nil && failed && !was:
			return err
		case err != nil && (failed || ctx.Err() != nil):
			return fmt.Errorf("it was healthy and did not stay so for %v: %w", e.u.steady(), err)
		case err != nil:
			since = time.Now()
		case time.Since(since) >= e.u.steady():
			return nil
		}
		failed, was = err != nil, was || err == nil
		if err := pause(ctx, e.u.pollSteady()); err != nil {
			return err
		}
	}
}

// healthy waits until one part is healthy, as await finds it, and where it is
// the last one until all that is wanted stays so.
func (e *engine) healthy(ctx context.Context, part Part, want map[string]Version, last bool, await func(context.Context) error) error {
	return e.do(ctx, stepProbe, part.Name, 0, func(ctx context.Context) error {
		d := e.u.Deadlines.probe()
		limited, cancel := context.WithTimeoutCause(ctx, d, fmt.Errorf("the deadline of %v for %s passed: %w", d, stepProbe, context.DeadlineExceeded))
		defer cancel()
		waiting, end := e.yielding(limited)
		err := func() error {
			defer e.attended(limited, stepProbe)()
			return await(waiting)
		}()
		if cause := context.Cause(waiting); err != nil && errors.Is(cause, errYield) {
			err = cause
		}
		end()
		if err != nil || !last {
			return err
		}
		return e.steadily(ctx, want)
	})
}

// unsteady checks once.
func (e *engine) unsteady(ctx context.Context, want map[string]Version) error {
	for _, part := range e.u.Parts {
		version, ok := want[part.Name]
		if !ok {
			continue
		}
		got, err := e.u.probe(ctx, part)
		if err == nil && got != version {
			err = fmt.Errorf("version %q is running", got)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part.Name, err)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A verdict is what steady answers say of an update that a crash cut short,
// with no installer running.
type verdict int

const (
	silence verdict = iota // no answer, or none that is steady
	isNew                  // every part is healthy at its new version
	isOld                  // every part is healthy, and not all at the new version
)

// errYield is why recovery stops waiting for a verdict: a person decides, or it
// was canceled.
var errYield = errors.New("recovery was stopped while it waited for an answer")

// yielding returns a context in which an answer is waited for: it ends with errYield if a
// person's decision waits in another process, or the recovery is canceled. An update that
// waits for the new version makes way for no one: a decision that is refused then would leave it pending.
func (e *engine) yielding(ctx context.Context) (waiting context.Context, end func()) {
	waiting, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for pause(waiting, e.u.pollSteady()) == nil {
			if err := e.yields(); err != nil {
				cancel(err)
			}
		}
	}()
	return waiting, func() {
		cancel(nil)
		<-ended
	}
}

// yields returns why an answer is waited for no longer, nil if it is.
func (e *engine) yields() error {
	switch {
	case e.stop != nil && e.stop.Err() != nil:
		return fmt.Errorf("%w: %w", errYield, context.Cause(e.stop))
	case (e.stop != nil || e.direction == back) && decisionWaits(e.u.Dir):
		return fmt.Errorf("%w: a person decides", errYield)
	}
	return nil
}

// judge waits until the answers of all parts are steady and returns what they
// say, or silence after the deadline. Stop ends it, and so does a person's
// decision that waits in another process.
func (e *engine) judge(ctx, stop context.Context, deadline time.Duration) (verdict, error) {
	begun := time.Now()
	last, since := silence, begun
	defer e.attended(ctx, stepProbe)()
	for {
		now := e.answers(ctx)
		if now != last {
			last, since = now, time.Now()
		}
		switch {
		case last != silence && time.Since(since) >= e.u.steady():
			return last, nil
		case last == silence && time.Since(begun) >= deadline:
			return silence, nil // an answer may still become steady
		case stop.Err() != nil:
			return silence, fmt.Errorf("%w: %w", errYield, context.Cause(stop))
		case decisionWaits(e.u.Dir):
			return silence, fmt.Errorf("%w: a person decides", errYield)
		}
		_ = pause(ctx, e.u.pollSteady())
	}
}

// answers asks every part once.
func (e *engine) answers(ctx context.Context) verdict {
	all := isNew
	for i, part := range e.u.Parts {
		got, err := e.u.probe(ctx, part)
		planned := e.plan().Parts[i]
		switch {
		case err != nil || got != planned.From.Version && got != planned.To.Version:
			return silence
		case got != planned.To.Version:
			all = isOld
		}
	}
	return all
}

// waitingName is a file by which a person's decision asks the process that holds
// the lock, and only waits for an answer, to make way.
// A decision that waits writes it again each half second.
const waitingName = "decision-waits"

// waitingAge is how old that file may be. An older one, or one of another clock,
// is of a process that died, and would stop every recovery.
const waitingAge = 30 * time.Second

func decisionWaits(dir string) bool {
	path := filepath.Join(dir, waitingName)
	fi, err := os.Lstat(path)
	if err != nil {
		return false
	}
	if time.Since(fi.ModTime()).Abs() <= waitingAge {
		return true
	}
	_ = os.Remove(path)
	return false
}

// beginDecision is begin for a person's decision: another process that only
// waits makes way.
func (u *Update) beginDecision(doing string) (*engine, error) {
	path := filepath.Join(u.Dir, waitingName)
	for tries := 20; ; tries-- {
		e, err := u.begin(doing)
		if err == nil || !errors.Is(err, ErrBusy) || tries == 0 {
			_ = os.Remove(path)
			return e, err
		}
		// It is a request and no state: one that cannot be written, or is
		// left behind, makes somebody wait.
		_ = os.WriteFile(path, []byte(doing+"\n"), 0o600)
	}
}
