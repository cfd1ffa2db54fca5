package ftp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/jlaffaye/ftp"

	"github.com/aspupdate/aspupdate/fetch"
)

// A transfer is an open file. See [fetch.Source] for what Close returns.
type transfer struct {
	ctx    context.Context //nolint:containedctx // Open's: it governs the reading too
	f      *Source
	s      *session
	r      *ftp.Response
	name   string
	end    error // what ended the data; io.EOF if all seems to be well
	abrupt bool  // TLS without a close notification
	once   sync.Once
	res    error
}

func (t *transfer) Read(p []byte) (int, error) {
	if t.end != nil {
		return 0, t.end
	}
	n, err := t.r.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		// TLS without a close notification: many servers do so. Whether the
		// data was cut is then decided by the confirmation on the control
		// connection, and by the number of bytes.
		err, t.abrupt = io.EOF, true
	}
	if err != nil && t.ctx.Err() != nil {
		err = context.Cause(t.ctx)
	}
	t.end = err
	return n, err
}

func (t *transfer) Close() error {
	t.once.Do(func() {
		if !errors.Is(t.end, io.EOF) {
			// No need to wait for the server: its 426 says nothing new.
			t.s.end()
			t.res = &fetch.Error{Op: "read", Subject: t.name, Err: errors.New("closed before the end"), Temporary: true}
			return
		}
		if err := t.r.Close(); err != nil {
			t.s.end()
			t.res = &fetch.Error{Op: "read", Subject: t.name, Err: fmt.Errorf("%w: the end is not confirmed: %s", fetch.ErrUnreachable, t.f.scrub(err.Error())), Code: refused(err), Temporary: true}
			return
		}
		if t.abrupt {
			t.s.quit() // do not keep such a connection
			return
		}
		t.f.done(t.s)
	})
	return t.res
}
