package archive

import (
	"context"
	"io"
	"math"
	"time"

	"golang.org/x/time/rate"

	"github.com/aspupdate/aspupdate/fetch/internal/clock"
)

// A pipe reads from the network while what came before is hashed and written:
// both take about as long.
type pipe struct {
	free chan []byte
}

const (
	pipeBuffers = 4
	pipeBuffer  = 4 << 20
)

// newPipe returns a pipe for files of at most size bytes.
func newPipe(size int64) *pipe {
	p := &pipe{free: make(chan []byte, pipeBuffers)}
	for range pipeBuffers {
		p.free <- make([]byte, min(pipeBuffer, max(size, 1)))
	}
	return p
}

// run reads r to its end and calls write with what comes, together with the error
// that ended it. It returns the first error of write, after it has called cancel,
// which ends a Read that waits.
func (p *pipe) run(ctx context.Context, cancel func(), r io.Reader, write func([]byte, error) error) error {
	type piece struct {
		buf []byte
		n   int
		err error
	}
	full := make(chan piece, pipeBuffers)
	go func() {
		defer close(full)
		for {
			var c piece
			select {
			case c.buf = <-p.free:
			case <-ctx.Done():
				return
			}
			c.n, c.err = fill(r, c.buf)
			full <- c
			if c.err != nil {
				return
			}
		}
	}()
	var err error
	ended := false
	for c := range full {
		if err == nil {
			if err = write(c.buf[:c.n], c.err); err != nil {
				cancel()
			}
		}
		ended = ended || c.err != nil
		p.free <- c.buf
	}
	if err == nil && !ended {
		err = write(nil, context.Cause(ctx))
	}
	return err
}

// fill reads until the buffer is full, or for 100 ms: TLS returns 16 KiB at a
// time, and a slow link less.
func fill(r io.Reader, buf []byte) (n int, err error) {
	const atMost = 100 * time.Millisecond
	for began := time.Now(); err == nil && n < len(buf) && time.Since(began) < atMost; {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// newLimiter returns a limiter of that many bytes per second.
func newLimiter(bytes int64) *rate.Limiter {
	const pieces = 8 // per second, so that the server never waits long
	return rate.NewLimiter(rate.Limit(bytes), int(min(max(bytes/pieces, 1), math.MaxInt32)))
}

// A limitedReader is a Reader with a limit.
type limitedReader struct {
	ctx   context.Context //nolint:containedctx // lives as long as one transfer
	r     io.Reader
	limit *rate.Limiter
}

func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p[:min(len(p), l.limit.Burst())])
	if werr := clock.Sleep(l.ctx, l.limit.ReserveN(time.Now(), n).Delay()); werr != nil {
		return n, werr
	}
	return n, err
}
