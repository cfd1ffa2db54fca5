//go:build !linux

package realtest

import "testing"

// serve works on Linux only.
func serve(t testing.TB, m Make, _ string, _ Options) Server {
	t.Helper()
	Skip(t, "%s is started on Linux only", m)
	return Server{}
}
