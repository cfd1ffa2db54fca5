package fetch

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Retry says how often and how soon something temporary is tried again. The
// zero value is 5 tries, the first wait 1 s, doubled each time up to 30 s,
// each made up to half shorter or longer at random.
type Retry struct {
	Tries int           // all attempts together; 1 means no second one
	First time.Duration // the first wait
	Max   time.Duration // the longest wait
}

func (r Retry) tries() int { return max(cmp.Or(r.Tries, 5), 1) }

func (r Retry) waits() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = cmp.Or(r.First, time.Second)
	b.MaxInterval = cmp.Or(r.Max, 30*time.Second)
	b.Multiplier = 2
	b.Reset()
	return b
}

// do calls op until it succeeds, fails for good, or all tries are used up.
func (r Retry) do(ctx context.Context, tell func(try int, wait time.Duration, err error), op func() error) error {
	try := 0
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		try++
		err := op()
		if err != nil && !temporary(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(r.waits()), backoff.WithMaxTries(uint(r.tries())), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, wait time.Duration) { tell(try, wait, err) }))
	if p, ok := errors.AsType[*backoff.PermanentError](err); ok {
		return p.Unwrap()
	}
	return err
}

// sleep waits, or returns why ctx is done.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
