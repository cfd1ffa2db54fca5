// Package share bounds how long a share or a disk that hangs can hold an operation.
// It ends no system call: nothing does. What waits for one is left behind.
package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Timeout is how long the system may take for one operation, unless the caller gives another time.
const Timeout = 30 * time.Second

var (
	// ErrSilent means that the system has not answered in time.
	ErrSilent = errors.New("no answer from the system: the share or the disk hangs")
	// ErrBroken means that the system cannot read on.
	ErrBroken = errors.New("the stick, the share or the disk cannot be read")
)

// Within runs f for at most the timeout, and leaves it behind after that. What f
// returns later is closed if it can be. An I/O error is [ErrBroken].
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
		if isBroken(r.err) {
			r.err = fmt.Errorf("%w: %w", ErrBroken, r.err)
		}
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

// Close waits for the closing of what was read, so that it can be removed after that, but a few
// seconds and the timeout at most: a share that hangs would keep it.
func Close(timeout time.Duration, shut func() error) {
	const most = 5 * time.Second
	_, _ = Within(context.Background(), min(timeout, most), func() (struct{}, error) { return struct{}{}, shut() })
}

// MaxNames is how many names of a directory are read: more than any distribution has.
const MaxNames = 200_000

// ReadDir returns what is in a directory, in any order. Opening it may take the timeout,
// and so may each thousand names. More than most names are an error.
func ReadDir(ctx context.Context, timeout time.Duration, most int, open func() (*os.File, error)) ([]fs.FileInfo, error) {
	const some = 1000
	f, err := Within(ctx, timeout, open)
	if err != nil {
		return nil, err
	}
	var reading sync.Mutex // a reading that was left behind goes on, and a file is not closed beside it
	defer Close(timeout, func() error {
		reading.Lock()
		defer reading.Unlock()
		return f.Close()
	})
	var all []fs.FileInfo
	for {
		infos, err := Within(ctx, timeout, func() ([]fs.FileInfo, error) {
			reading.Lock()
			defer reading.Unlock()
			return f.Readdir(some)
		})
		all = append(all, infos...)
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, broken(ctx, err)
		case len(all) > most:
			return nil, fmt.Errorf("more than %d names in a directory", most)
		}
	}
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
	if err != nil && !errors.Is(err, io.EOF) {
		err = broken(r.ctx, err)
	}
	r.end = err
	return copy(p, own[:n]), err
}

// broken returns what a read of something open has failed with as [ErrBroken], unless it was about
// one name of a directory.
func broken(ctx context.Context, err error) error {
	for _, other := range []error{ErrSilent, ErrBroken, fs.ErrNotExist, fs.ErrPermission} {
		if errors.Is(err, other) {
			return err
		}
	}
	if ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: %w", ErrBroken, err)
}

// isBroken reports whether a stick, a share or a disk is the cause.
func isBroken(err error) bool {
	code, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(brokenCodes, code)
}
