package realtest

import (
	"io"
	"net"
	"strconv"
	"strings"
)

// AcceptSOCKS reads what a client asks of a SOCKS5 proxy (RFC 1928, and 1929 for the password,
// which is required unless user is ""). It reports false if the client is refused. Else reply must be
// called with whether the address was reached.
func AcceptSOCKS(c net.Conn, user, password string) (address string, reply func(reached bool), ok bool) {
	b := make([]byte, 300)
	read := func(n byte) string { _, _ = io.ReadFull(c, b[:n]); return string(b[:n]) }
	methods := read(read(2)[1])
	switch {
	case user == "":
		_, _ = c.Write([]byte{5, 0})
	case !strings.Contains(methods, "\x02"):
		_, _ = c.Write([]byte{5, 0xff})
		return "", nil, false
	default:
		_, _ = c.Write([]byte{5, 2})
		if read(read(2)[1]) != user || read(read(1)[0]) != password {
			_, _ = c.Write([]byte{1, 1})
			return "", nil, false
		}
		_, _ = c.Write([]byte{1, 0})
	}
	host := ""
	switch read(4)[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = read(read(1)[0])
	}
	port := read(2)
	return net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1]))), func(reached bool) {
		_, _ = c.Write([]byte{5, map[bool]byte{true: 0, false: 2}[reached], 0, 1, 0, 0, 0, 0, 0, 0})
	}, true
}
