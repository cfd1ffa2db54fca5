package ftp

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/aspupdate/aspupdate/fetch/internal/clock"
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
	via     func(ctx context.Context, network, address string) (net.Conn, error) // nil: directly
	account string
	data    bool // the control connection has been made
	control *conn
}

func (d *dialer) dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(d.s.ctx, d.timeout)
	defer cancel()
	if d.data && d.via != nil {
		// The library has the address of the proxy, or none.
		host, _, err := net.SplitHostPort(d.address)
		_, port, perr := net.SplitHostPort(address)
		if err = errors.Join(err, perr); err != nil {
			return nil, err
		}
		address = net.JoinHostPort(host, port)
	}
	via := d.via
	if via == nil {
		via = (&net.Dialer{}).DialContext
	}
	raw, err := via(ctx, network, address)
	if err != nil {
		d.s.dataRefused = d.data
		return nil, err
	}
	d.s.passive = d.s.passive || d.data && d.s.transcript.verb == "PASV"
	c := &conn{Conn: raw, timeout: d.timeout}
	switch {
	case !d.data:
		c.limit = d.s.replies
	case d.s.transcript.listed:
		c.limit = d.s.listings
	}
	if err := d.s.add(c); err != nil {
		return nil, err
	}
	var nc net.Conn = c
	switch {
	case d.config != nil && d.data:
		nc = d.dataTLS(c)
	case d.config != nil && d.mode == TLSImplicit:
		nc = tls.Client(c, d.config)
	}
	if !d.data {
		d.data, d.control = true, c
		return d.controlOn(nc)
	}
	if d.s.transcript.listed {
		return &listingConn{nc, &d.s.transcript, d.s.end, c}, nil
	}
	return nc, nil
}

// dataTLS returns a data connection whose TLS begins beside the reply to the command,
// once that has been sent: some servers (ftp-srv) reply only when TLS is there, others
// (vsftpd, proftpd) begin it only after their reply, and pyftpdlib loses a connection
// whose TLS is there before the command.
func (d *dialer) dataTLS(c *conn) *tls.Conn {
	nc := tls.Client(c, d.config)
	d.s.transcript.sent = func() {
		c.timeout = 2 * d.timeout // one for the reply, one for TLS
		go func() {
			_ = nc.Handshake() // the first Read has its error
			c.lower(d.timeout)
		}()
	}
	return nc
}

// controlOn returns the control connection for the library. It starts TLS by
// itself, because it must be above TLS to read the replies.
func (d *dialer) controlOn(nc net.Conn) (net.Conn, error) {
	c := newControl(nc, &d.s.transcript, d.account)
	if d.mode != TLSExplicit {
		return c, nil
	}
	if err := c.startTLS(); err != nil {
		return nil, err
	}
	// What came unencrypted after the reply stays with the old reader.
	c = newControl(tls.Client(nc, d.config), &d.s.transcript, d.account)
	c.say(220, "TLS") // the greeting has been read
	return c, nil
}

// A conn is a connection whose peer may never be silent for longer than
// the timeout, nor drip: each Write has the timeout for itself, and what is read
// after it has a pace to keep. After a Read timed out, all of them fail: the library
// would read again and wait as long once more.
type conn struct {
	net.Conn
	mu       sync.Mutex // of the timeout and the pace: TLS begins beside the library's work
	timeout  time.Duration
	pace     clock.Pace
	limit    *byteLimit // nil: none
	timedOut error      // of the Read
}

// lower makes the timeout shorter, that of a Read which waits too.
func (c *conn) lower(timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if timeout < c.timeout {
		c.timeout = timeout
		_ = c.SetReadDeadline(time.Now().Add(c.pace.Left(timeout))) // else Read finds out
	}
}

func (c *conn) Read(p []byte) (int, error) {
	if c.timedOut != nil {
		return 0, c.timedOut
	}
	start := time.Now()
	c.mu.Lock()
	err := c.SetReadDeadline(start.Add(c.pace.Left(c.timeout)))
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.pace.Took(start, n)
	c.mu.Unlock()
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
	c.mu.Lock()
	c.pace = clock.Pace{} // of the reply
	err := c.SetWriteDeadline(time.Now().Add(c.timeout))
	c.mu.Unlock()
	if err != nil {
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
	raw        *conn
}

// Read reads the whole listing into the transcript, and returns no data.
//
// An error is one for the library too, so that no listing is shorter than it
// was sent. That includes io.ErrUnexpectedEOF, which is TLS cut off within a
// record: a listing has no size to compare with, as a file has. Where TLS ends
// between two records without a close notification, as on many servers,
// crypto/tls returns io.EOF: then the confirmation on the control connection
// decides, and the end of the last line.
//
// A server that has ended the listing before it began may leave the data
// connection open: an empty directory needs none.
func (l *listingConn) Read([]byte) (int, error) {
	if l.transcript.bare {
		const enough = 2 * time.Second
		l.raw.lower(enough)
		_, _ = io.Copy(listingWriter{l.transcript}, l.Conn)
		return 0, io.EOF
	}
	_, err := io.Copy(listingWriter{l.transcript}, l.Conn)
	if isTimeout(err) {
		l.end() // the library would wait as long again for the confirmation
	}
	return 0, cmp.Or(err, io.EOF)
}

// What a hostile server can make us hold besides files, in one operation. A
// directory may have 100,000 names of 150 bytes; a short line takes more memory
// than it has bytes.
const (
	maxListing      = 16 << 20 // bytes
	maxListingLines = 200_000
	maxListingLine  = 1 << 20 // bytes
	maxReplies      = 1 << 20 // bytes
	maxReplyLines   = 2000
)

var errEndless = errors.New("the server sends without end")

// A byteLimit is how many bytes may still come.
type byteLimit struct {
	most int64
	mu   sync.Mutex
	left int64
}

func newByteLimit(most int64) *byteLimit { return &byteLimit{most: most, left: most} }

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
	b.left = b.most
}

func (b *byteLimit) exceeded() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left < 0
}
