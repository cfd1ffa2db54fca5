//go:build unix

package realtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

const nobody = 65534 // the account's number, and its group's

// AsNobody runs the named test of the calling package again as an account without
// permissions, and fails if it fails. It does nothing unless this process is root's.
func AsNobody(t testing.TB, test string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := SharedDir(t)
	path := filepath.Join(dir, "test")
	if err := os.WriteFile(path, program, 0o755); err != nil { // another account runs it
		t.Fatal(err)
	}
	temp := filepath.Join(dir, "tmp")
	if err := errors.Join(os.Mkdir(temp, 0o700), os.Chown(temp, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-test.run=^"+test+"$", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+temp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("as nobody: %v\n%s", err, out)
	}
}
