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
	"os"
	"os/exec"
	"slices"
	"strings"
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

// SkipAbsent is [Skip] for what .ci/run gets from a registry of packages that is
// at times not reachable. ASPUPDATE_ABSENT has the names of what it did not get.
func SkipAbsent(t testing.TB, name, format string, args ...any) {
	t.Helper()
	if slices.Contains(strings.Fields(os.Getenv("ASPUPDATE_ABSENT")), name) {
		t.Skipf(format, args...)
	}
	Skip(t, format, args...)
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

func writeFile(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
