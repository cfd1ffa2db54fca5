// Package ctxio ends long copies early. It exists because io.Copy has no
// context.
package ctxio

import (
	"context"
	"io"
)

// Reader returns a reader that reads from r until ctx ends, and then fails
// with the cause of that.
func Reader(ctx context.Context, r io.Reader) io.Reader { return reader{ctx, r} }

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (c reader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
