package realtest

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// WithMounts calls use where mounts can be made that nothing else sees: it runs
// the named test of the calling package again, in a mount namespace of its own,
// and fails if it fails. An account that is not root becomes root of a user
// namespace there. It skips where the system does not allow that.
func WithMounts(t testing.TB, test string, use func()) {
	t.Helper()
	const inside = "ASPUPDATE_TEST_MOUNTS"
	if os.Getenv(inside) == test {
		use()
		return
	}
	attr := &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // which makes them private
	if os.Geteuid() != 0 {
		attr.Cloneflags = syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	probe := exec.Command("mount", "--version")
	probe.SysProcAttr = attr
	if err := probe.Run(); err != nil {
		Skip(t, "no mount namespace can be made here: %v", err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+test)
	cmd.SysProcAttr = attr
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("in a mount namespace: %v\n%s", err, out)
	}
}
