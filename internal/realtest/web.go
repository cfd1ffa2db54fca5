package realtest

import "testing"

// nginx serves files, by HTTPS.
const nginx Make = "nginx"

// HTTPS serves root by nginx on a free loopback port, as [FTP] does: with index pages, by
// HTTP/1.1 or HTTP/2, to the Server's user alone. nginx runs as a user without rights.
func HTTPS(t testing.TB, root string) Server {
	t.Helper()
	return serve(t, nginx, root, Options{TLS: Implicit})
}

// Nginx starts nginx on a free loopback port, by HTTP, as a user without rights. Server is the
// text of its one server block; what it includes must be readable for all users. Command is how
// an administrator calls this nginx, with -t or -s reload to be added.
func Nginx(t testing.TB, server string) (addr string, command []string) {
	t.Helper()
	return startNginx(t, server)
}
