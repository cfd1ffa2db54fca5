// Package share bounds how long a share or a disk that hangs can hold an operation.
// It ends no system call: nothing does. What waits for one is left behind.
package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Timeout is how long the system may take for one operation, unless the caller gives another time.
const Timeout = 30 * time.Second

// ErrSilent means that the system has not answered in time.
var ErrSilent = errors.New("no answer from the system: the share or the disk hangs")

// Within runs f for at most the timeout, and leaves it behind after that. What f
// returns later is closed if it can be.
func Within[T any](ctx context.Context, timeout time.Duration, f func() (T, error)) (T, error) {
	type result struct {
		t   T
		err error
	}
	if ctx.Err() != nil {
		return *new(T), context.Cause(ctx)
	}
	done := make(chan result, 1)
	go func() {
		t, err := f()
		done <- result{t, err}
	}()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	var err error
	select {
	case r := <-done:
		return r.t, r.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = fmt.Errorf("%w for %v", ErrSilent, timeout)
	}
	go func() { // whenever it ends
		r := <-done
		if c, ok := any(r.t).(io.Closer); ok && r.err == nil {
			_ = c.Close()
		}
	}()
	return *new(T), err
}

// Reader returns a reader that reads from r, each time for at most the timeout.
// After an error it reads no more.
func Reader(ctx context.Context, timeout time.Duration, r io.Reader) io.Reader {
	return &reader{ctx: ctx, timeout: timeout, r: r}
}

type reader struct {
	ctx     context.Context //nolint:containedctx // of the reading
	timeout time.Duration
	r       io.Reader
	end     error
	own     []byte // the system may write into it after a timeout
}

func (r *reader) Read(p []byte) (int, error) {
	const most = 1 << 20
	if r.end != nil || len(p) == 0 {
		return 0, r.end
	}
	if r.own == nil {
		r.own = make([]byte, most)
	}
	own := r.own[:min(len(p), most)]
	n, err := Within(r.ctx, r.timeout, func() (int, error) { return r.r.Read(own) })
	r.end = err
	return copy(p, own[:n]), err
}
