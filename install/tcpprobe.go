package install

import (
	"context"
	"fmt"
	"net"
	"time"
)

// A TCPProbe connects to a port, and then queries Then for the version. Its
// error shows at once that the database or the application server is not up,
// where a version query would only report a failed login. For several ports
// use several probes, each the Then of another.
type TCPProbe struct {
	Addr string // host:port
	Then Probe

	timeout time.Duration // for the connection, Then apart; zero is 10 s
}

// Version implements [Probe].
func (p TCPProbe) Version(ctx context.Context) (string, error) {
	host, port, err := net.SplitHostPort(p.Addr)
	switch {
	case err != nil || host == "" || port == "":
		return "", fmt.Errorf("%w: invalid address %q of the probe; write host:port", ErrFailed, p.Addr)
	case p.Then == nil:
		return "", fmt.Errorf("%w: the probe of %s has no other probe that returns a version; set Then", ErrFailed, p.Addr)
	}
	connecting, cancel := context.WithTimeout(ctx, orDefault(p.timeout, probeTimeout))
	defer cancel()
	conn, err := new(net.Dialer).DialContext(connecting, "tcp", p.Addr)
	if err != nil {
		return "", fmt.Errorf("cannot connect to %s: %w", p.Addr, err)
	}
	_ = conn.Close()
	return p.Then.Version(ctx)
}
