package realtest

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// TempDir is like t.TempDir for processes that are killed in it: Windows removes
// no file that one of them still has open, and on a busy machine they take longer
// to end than the two seconds that testing waits.
func TempDir(t testing.TB) string {
	t.Helper()
	if runtime.GOOS != "windows" {
		return t.TempDir()
	}
	return patientDir(t, "")
}

// patientDir is a directory in parent whose removal waits for the processes that use it.
func patientDir(t testing.TB, parent string) string {
	t.Helper()
	dir, err := os.MkdirTemp(parent, "aspupdate-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		var err error
		for wait := time.Millisecond; wait < 20*time.Second; wait *= 2 {
			if err = os.RemoveAll(dir); err == nil {
				return
			}
			time.Sleep(wait)
		}
		if neverWas(t, dir) {
			t.Logf("the server of Wine keeps a file of a process that never was: %v", err)
			return
		}
		t.Errorf("a process has not ended: %v", err)
	})
	return dir
}

// SharedDir is like t.TempDir for tests whose programs run as another account,
// which can enter it. It is directly in the machine's temporary directory, and
// its mode alone is changed: parents of other directories may be the machine's.
func SharedDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "aspupdate-test-")
	if err == nil {
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o755) // other accounts enter it
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
