package install

import (
	"context"
	"fmt"
	"net"
	"time"
)

// A TCPProbe looks whether a port takes connections, and then asks Then for
// the version, which no port can tell by itself. It says early and plainly
// what a version query would only say as a failed login: that the database
// or the application server is not up. Several ports are several probes, each
// the Then of another.
type TCPProbe struct {
	Addr    string // host:port
	Then    Probe
	Timeout time.Duration // for the connection, Then apart; zero is 10 s
}

// Version implements [Probe].
func (p TCPProbe) Version(ctx context.Context) (string, error) {
	host, port, err := net.SplitHostPort(p.Addr)
	switch {
	case err != nil || host == "" || port == "":
		return "", fmt.Errorf("%w: the probe's address %q is no host:port; correct it", ErrFailed, p.Addr)
	case p.Then == nil:
		return "", fmt.Errorf("%w: a port tells no version, and the probe of %s names no other probe for it; set Then", ErrFailed, p.Addr)
	}
	connecting, cancel := context.WithTimeout(ctx, orDefault(p.Timeout, probeTimeout))
	defer cancel()
	conn, err := new(net.Dialer).DialContext(connecting, "tcp", p.Addr)
	if err != nil {
		return "", fmt.Errorf("%s takes no connection: %w", p.Addr, err)
	}
	_ = conn.Close()
	return p.Then.Version(ctx)
}
