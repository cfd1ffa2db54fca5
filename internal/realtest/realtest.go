// Package realtest starts the real servers that tests need, on loopback and
// free ports, and ends exactly the processes that it started.
//
// If a program is not installed, the test is skipped; with
// ASPUPDATE_REQUIRE_REAL=1, as in .ci/run, it fails instead.
//
// Debian installs only one FTP server at a time. Others can be in the directory
// ASPUPDATE_FTP_SERVERS, as .ci/run unpacks them there by dpkg -x.
package realtest

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// Skip skips the test because something real is missing, or fails it if
// ASPUPDATE_REQUIRE_REAL=1.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("ASPUPDATE_REQUIRE_REAL") == "1" {
		t.Fatalf("ASPUPDATE_REQUIRE_REAL=1: "+format, args...)
	}
	t.Skipf(format, args...)
}

// Program returns the path of a program that the test needs, from PATH or one of
// the directories. It skips the test if there is none.
func Program(t testing.TB, name string, dirs ...string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range dirs {
		if path, err := exec.LookPath(dir + "/" + name); err == nil {
			return path
		}
	}
	Skip(t, "%s is not installed", name)
	return ""
}

// FreePort returns a loopback TCP port that was free a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

func writeFile(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
