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
