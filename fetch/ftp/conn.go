package ftp

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// A dialer makes the connections of one session: the control connection
// first, then data connections. The library leaves TLS on data connections
// to whoever dials them.
type dialer struct {
	s       *session
	address string // of the control connection
	idle    time.Duration
	mode    TLS
	config  *tls.Config
	data    bool // the control connection is there
	control *conn
}

func (d *dialer) dial(network, address string) (net.Conn, error) {
	nd := net.Dialer{Timeout: d.idle}
	raw, err := nd.DialContext(d.s.ctx, network, address)
	if err != nil {
		d.s.dataRefused = d.data
		return nil, err
	}
	c := &conn{Conn: raw, idle: d.idle}
	if !d.data || d.s.said.listed {
		c.limit = d.s.limit // a file may be larger
	}
	if err := d.s.add(c); err != nil {
		return nil, err
	}
	secure := d.config != nil && (d.data || d.mode == TLSImplicit)
	said := &d.s.said
	if !d.data {
		d.data, d.control = true, c
		said = nil
	}
	if !secure {
		return dataConn(c, said, d.s.end), nil
	}
	return dataConn(tls.Client(c, d.config), said, d.s.end), nil
}

// A conn is a connection whose peer may never be silent for longer than
// idle: each Read and Write has a deadline of its own. After one was missed
// all of them fail: the library would ask on, and wait as long again.
type conn struct {
	net.Conn
	idle   time.Duration
	limit  *countdown // nil: none
	silent error      // what the missed deadline gave
}

func (c *conn) Read(p []byte) (int, error) {
	if c.silent != nil {
		return 0, c.silent
	}
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if isTimeout(err) {
		c.silent = err
	}
	if c.limit != nil {
		if err := c.limit.take(n); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if c.silent != nil {
		return 0, c.silent
	}
	if err := c.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// dataConn takes a listing's data away from the library. said is nil for the
// control connection, which is left as it is.
func dataConn(c net.Conn, said *transcript, end func()) net.Conn {
	if said == nil || !said.listed {
		return c
	}
	return &listing{c, said, end}
}

// A listing is a data connection that the library finds empty: it would
// drop in silence what it does not understand.
type listing struct {
	net.Conn
	said *transcript
	end  func() // of the session
}

// Read reads all of the listing and gives it to the transcript.
//
// An error is one for the library too, so that no listing is shorter than it
// was sent. That holds for io.ErrUnexpectedEOF as well, which is TLS cut off
// within a record: there is no size to count against, as there is for a file.
// Where TLS ends between two records without its goodbye, as many servers do
// it, crypto/tls gives io.EOF: then the confirmation on the control connection
// decides, and the end of the last line.
func (l *listing) Read([]byte) (int, error) {
	_, err := io.Copy(body{l.said}, l.Conn)
	if isTimeout(err) {
		l.end() // the library would wait as long again for the confirmation
	}
	return 0, cmp.Or(err, io.EOF)
}
