// Package realtest starts the real servers that tests need, on loopback and
// on free ports, and ends exactly the processes that it started.
//
// A test that needs a program which is not there skips with a reason; where
// ASPUPDATE_REQUIRE_REAL=1 is set, as .ci/run does, it fails instead.
//
// Debian installs only one FTP server at a time. Others are found as well in
// the folder that ASPUPDATE_FTP_SERVERS names, into which packages were
// unpacked by dpkg -x; .ci/run does so with proftpd-core, proftpd-mod-crypto,
// pure-ftpd and pure-ftpd-common.
package realtest

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// Skip skips the test because something real is missing, or fails it where
// ASPUPDATE_REQUIRE_REAL=1 asks for the real thing.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("ASPUPDATE_REQUIRE_REAL") == "1" {
		t.Fatalf("ASPUPDATE_REQUIRE_REAL=1: "+format, args...)
	}
	t.Skipf(format, args...)
}

// Program returns the path of a program that the test needs, looked up in
// PATH and then in the given folders.
func Program(t testing.TB, name string, folders ...string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range folders {
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
