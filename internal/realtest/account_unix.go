//go:build unix

package realtest

import (
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
	if out, err := Unprivileged(t, "-test.run=^"+test+"$", "-test.v").CombinedOutput(); err != nil {
		t.Fatalf("as nobody: %v\n%s", err, out)
	}
}

// Unprivileged returns a command that runs the calling package's test binary as an
// account without permissions, in a directory that this account can enter, with
// a temporary directory of its own. Only root can run it.
func Unprivileged(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
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
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	ToUnprivileged(t, temp)
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+temp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

// ToUnprivileged gives a file or a directory to the account of [Unprivileged].
func ToUnprivileged(t testing.TB, path string) {
	t.Helper()
	if err := os.Chown(path, nobody, nobody); err != nil {
		t.Fatal(err)
	}
}
