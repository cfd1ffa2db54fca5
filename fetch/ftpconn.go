package fetch

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// A dialer makes the connections of one session: the control connection
// first, then data connections. The library leaves TLS on data connections
// to whoever dials them.
type dialer struct {
	ctx     context.Context //nolint:containedctx // lives as long as one operation
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
	raw, err := nd.DialContext(d.ctx, network, address)
	if err != nil {
		d.s.dataRefused = d.data
		return nil, err
	}
	c := &conn{Conn: raw, idle: d.idle}
	if !d.data || d.s.said.raw != nil {
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
		return dataConn(c, said), nil
	}
	return dataConn(tls.Client(c, d.config), said), nil
}

// A conn is a connection whose peer may never be silent for longer than
// idle: each Read and Write has a deadline of its own.
type conn struct {
	net.Conn
	idle  time.Duration
	limit *countdown // nil: none
}

func (c *conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if c.limit != nil {
		if err := c.limit.take(n); err != nil {
			return 0, err
		}
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.idle)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// dataConn lets the transcript see a listing as the server sent it. said is
// nil for the control connection, which is left as it is.
func dataConn(c net.Conn, said *transcript) net.Conn {
	if said == nil || said.raw == nil {
		return c
	}
	return &listing{c, said}
}

type listing struct {
	net.Conn
	said *transcript
}

func (l *listing) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.said.data(p[:n])
	return n, err
}
