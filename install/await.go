package install

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// AwaitOptions are the limits of a wait for health. The zero value is good.
type AwaitOptions struct {
	Limit   time.Duration    // of the whole wait; zero is [DefaultDeadline]
	Every   time.Duration    // from the end of one look to the next; zero is 5 s
	Timeout time.Duration    // of one look; zero is 30 s
	Report  time.Duration    // from one restructuring event to the next; zero is 1 min
	Observe func(Event)      // told how it goes; may be nil
	Now     func() time.Time // nil is [time.Now]
}

// usual is what R11 calls the usual duration of a restructuring.
const usual = 15 * time.Minute

// Await asks p until version want is healthy. After an installer the database
// may be restructured for up to two hours (R11), and meanwhile the
// application first shows errors and then refuses logins (R12): neither an
// error nor another version that answers ends the wait. It is over when the
// limit or ctx ends or when the probe's error wraps [ErrFailed]. The error is
// then an [*Error] that names the version wanted and the one that answered
// last; it wraps [ErrTimeout] if time ran out.
func Await(ctx context.Context, p Probe, want string, o AwaitOptions) error {
	if want == "" {
		return &Error{Op: "await", Err: errors.New("no version to wait for was named"), Next: "name the version that was installed"}
	}
	r := Runner{Observe: o.Observe, Now: o.Now}
	limit := orDefault(o.Limit, DefaultDeadline)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: not healthy after %s", ErrTimeout, limit))
	defer cancel()
	begun := r.now()
	var last string // the version that answered last
	var lastErr error
	var reported time.Time
	for {
		got, err := look(ctx, p, orDefault(o.Timeout, lookTimeout))
		elapsed := r.now().Sub(begun)
		switch {
		case err == nil && got == want:
			r.event(Event{Kind: EventHealthy, Elapsed: elapsed, Text: fmt.Sprintf("version %s is healthy after %s", want, elapsed.Round(time.Second))})
			return nil
		case errors.Is(err, ErrFailed):
			return &Error{Op: "await", Want: want, Got: last, Err: err, Next: nextBroken}
		case ctx.Err() != nil:
			return awaitError(ctx, want, last, lastErr)
		}
		lastErr = err
		if err == nil {
			last = got
			lastErr = fmt.Errorf("version %q answers", got)
		}
		if now := r.now(); reported.IsZero() || now.Sub(reported) >= orDefault(o.Report, time.Minute) {
			reported = now
			r.event(Event{Kind: EventRestructuring, Elapsed: elapsed, Text: progress(elapsed, lastErr)})
		}
		select {
		case <-ctx.Done():
			return awaitError(ctx, want, last, lastErr)
		case <-time.After(orDefault(o.Every, 5*time.Second)):
		}
	}
}

const nextBroken = "read the application's log; go back to the previous version, or wait again if it is still at work"

// look takes one look, bounded so that a probe which hangs counts as an error.
func look(ctx context.Context, p Probe, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return p.Version(ctx)
}

func awaitError(ctx context.Context, want, last string, lastErr error) error {
	err := context.Cause(ctx)
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrTimeout) {
		err = fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	if lastErr != nil {
		// Not wrapped: a look that timed out is not why the wait ended.
		err = fmt.Errorf("%w; the last look: %v", err, lastErr) //nolint:errorlint // see above
	}
	return &Error{Op: "await", Want: want, Got: last, Err: err, Next: nextBroken}
}

// progress says how far the wait is, measured by what R11 lets expect.
func progress(elapsed time.Duration, last error) string {
	minutes := int(elapsed / time.Minute)
	if elapsed <= usual {
		return fmt.Sprintf("restructuring, %d min so far, usually at most %d (%v)", minutes, int(usual/time.Minute), last)
	}
	return fmt.Sprintf("restructuring, %d min so far, longer than usual; very rarely it takes 1 to 2 hours (%v)", minutes, last)
}
