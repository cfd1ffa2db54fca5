package install

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// AwaitOptions limit a wait for health. The zero value has the defaults.
type AwaitOptions struct {
	Deadline       time.Duration // of the whole wait; zero is 3 h
	Interval       time.Duration // from the end of one query to the next; zero is 5 s
	ReportInterval time.Duration // from one restructuring event to the next; zero is 1 min
	Observe        func(Event)   // may be nil

	timeout time.Duration // of one query; zero is 30 s
}

// usual is what R11 calls the usual duration of a restructuring.
const usual = 15 * time.Minute

// Await queries p until version want is healthy. After an installer the
// database may be restructured for up to two hours (R11), and meanwhile the
// application first shows errors and then refuses logins (R12): neither an
// error nor another version ends the wait. It ends with the deadline, with ctx,
// or with an error of the probe that wraps [ErrFailed]. The error is then an
// [*Error] with the version wanted and the one that answered last; it wraps
// [ErrTimeout] if the deadline passed.
func Await(ctx context.Context, p Probe, want string, o AwaitOptions) error {
	if want == "" {
		return &Error{Op: "await", Err: errors.New("no version to wait for"), Next: "name the version that was installed"}
	}
	fail := func(got string, err error) error {
		return &Error{Op: "await", Subject: fmt.Sprintf("version %q", want), Got: got, Err: err, Next: nextBroken}
	}
	r := &Runner{Observe: o.Observe}
	deadline := orDefault(o.Deadline, defaultDeadline)
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("%w: not healthy after %s", ErrTimeout, deadline))
	defer cancel()
	begun := r.clock()
	var last string // the version that answered last
	var lastErr error
	var reported time.Time
	for {
		got, err := query(ctx, p, orDefault(o.timeout, queryTimeout))
		elapsed := r.clock().Sub(begun)
		switch {
		case err == nil && got == want:
			r.event(eventHealthy, 0, begun, "version %s is healthy after %s", want, elapsed.Round(time.Second))
			return nil
		case errors.Is(err, ErrFailed):
			return fail(last, err)
		case ctx.Err() != nil:
			return fail(last, awaitCause(ctx, lastErr))
		}
		lastErr = err
		if err == nil {
			last = got
			lastErr = fmt.Errorf("version %q answers", got)
		}
		if now := r.clock(); reported.IsZero() || now.Sub(reported) >= orDefault(o.ReportInterval, time.Minute) {
			reported = now
			r.event(eventRestructuring, 0, begun, "%s", progress(elapsed, lastErr))
		}
		select {
		case <-ctx.Done():
			return fail(last, awaitCause(ctx, lastErr))
		case <-time.After(orDefault(o.Interval, 5*time.Second)):
		}
	}
}

const nextBroken = "read the application's log; go back to the previous version, or wait again if the restructuring is still running"

// queryTimeout bounds one query of an application.
const queryTimeout = 30 * time.Second

// query queries p once, so that a probe which hangs counts as an error.
func query(ctx context.Context, p Probe, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return p.Version(ctx)
}

// awaitCause returns why a wait ended with its context.
func awaitCause(ctx context.Context, lastErr error) error {
	err := context.Cause(ctx)
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrTimeout) {
		err = fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	if lastErr != nil {
		// Not wrapped: a query that timed out is not why the wait ended.
		err = fmt.Errorf("%w; the last answer: %v", err, lastErr) //nolint:errorlint // see above
	}
	return err
}

// progress describes a wait, measured against R11.
func progress(elapsed time.Duration, last error) string {
	minutes := int(elapsed / time.Minute)
	if elapsed <= usual {
		return fmt.Sprintf("restructuring, %d min so far, usually at most %d (%v)", minutes, int(usual/time.Minute), last)
	}
	return fmt.Sprintf("restructuring, %d min so far, longer than usual; very rarely it takes 1 to 2 hours (%v)", minutes, last)
}
