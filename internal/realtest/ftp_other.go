//go:build !linux

package realtest

import "testing"

// serve works on Linux only.
func serve(t testing.TB, m Make, _ string, _ Options) Server {
	t.Helper()
	Skip(t, "%s is started on Linux only", m)
	return Server{}
}

// startNginx works on Linux only.
func startNginx(t testing.TB, _ string) (addr string, command []string) {
	t.Helper()
	Skip(t, "nginx is started on Linux only")
	return "", nil
}
