package realtest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// The ports that tests give to servers. The systems take those of connections, and
// of servers that leave the choice to them, from above.
const (
	firstPort = 20000
	lastPort  = 32000
)

// FreePort returns a loopback TCP port on which nothing listens. On Linux it is
// this process's until it ends: a server that binds it late does not find one of
// another test there, whose answers would be taken for its own.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func freePort() (port int, err error) {
	for range 100 {
		port = firstPort + rand.IntN(lastPort-firstPort)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err != nil {
			continue
		}
		if err = l.Close(); err != nil {
			return 0, err
		}
		if err = claim(port); err == nil {
			return port, nil
		}
	}
	return 0, err
}
