package ftp

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A dialer makes the connections of one session: the control connection
// first, then data connections. The library leaves TLS on data connections
// to the dialer.
type dialer struct {
	s       *session
	address string // of the control connection
	timeout time.Duration
	mode    TLS
	config  *tls.Config
	data    bool // the control connection has been made
	control *conn
}

func (d *dialer) dial(network, address string) (net.Conn, error) {
	nd := net.Dialer{Timeout: d.timeout}
	raw, err := nd.DialContext(d.s.ctx, network, address)
	if err != nil {
		d.s.dataRefused = d.data
		return nil, err
	}
	c := &conn{Conn: raw, timeout: d.timeout}
	if !d.data || d.s.transcript.listed {
		c.limit = d.s.limit // a file may be larger
	}
	if err := d.s.add(c); err != nil {
		return nil, err
	}
	secure := d.config != nil && (d.data || d.mode == TLSImplicit)
	var nc net.Conn = c
	if secure {
		nc = tls.Client(c, d.config)
	}
	if !d.data {
		d.data, d.control = true, c
		return nc, nil
	}
	if d.s.transcript.listed {
		return &listingConn{nc, &d.s.transcript, d.s.end}, nil
	}
	return nc, nil
}

// A conn is a connection whose peer may never be silent for longer than
// the timeout: each Read and Write has a deadline of its own. After a Read
// timed out, all of them fail: the library would read again and wait as long
// once more.
type conn struct {
	net.Conn
	timeout  time.Duration
	limit    *byteLimit // nil: none
	timedOut error      // of the Read
}

func (c *conn) Read(p []byte) (int, error) {
	if c.timedOut != nil {
		return 0, c.timedOut
	}
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if isTimeout(err) {
		c.timedOut = err
	}
	if c.limit != nil {
		if err := c.limit.take(n); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if c.timedOut != nil {
		return 0, c.timedOut
	}
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// A listingConn is the data connection of a listing. It keeps the data from the
// library, which silently drops lines that it does not understand.
type listingConn struct {
	net.Conn
	transcript *transcript
	end        func() // of the session
}

// Read reads the whole listing into the transcript, and returns no data.
//
// An error is one for the library too, so that no listing is shorter than it
// was sent. That includes io.ErrUnexpectedEOF, which is TLS cut off within a
// record: a listing has no size to compare with, as a file has. Where TLS ends
// between two records without a close notification, as on many servers,
// crypto/tls returns io.EOF: then the confirmation on the control connection
// decides, and the end of the last line.
func (l *listingConn) Read([]byte) (int, error) {
	_, err := io.Copy(listingWriter{l.transcript}, l.Conn)
	if isTimeout(err) {
		l.end() // the library would wait as long again for the confirmation
	}
	return 0, cmp.Or(err, io.EOF)
}

// maxReceived limits what a hostile server can make us read besides files.
const maxReceived = 16 << 20

var errEndless = errors.New("the server sends without end")

// A byteLimit is how many bytes may still come.
type byteLimit struct {
	mu   sync.Mutex
	left int64
}

func newByteLimit() *byteLimit { return &byteLimit{left: maxReceived} }

func (b *byteLimit) take(n int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left -= int64(n); b.left < 0 {
		return errEndless
	}
	return nil
}

func (b *byteLimit) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left = maxReceived
}

func (b *byteLimit) exceeded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left < 0
}
