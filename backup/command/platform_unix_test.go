//go:build unix

package command_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// leaveSession makes a child that a signal to its parent's group misses.
func leaveSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func requireSameOwner(t *testing.T, a, b fs.FileInfo) {
	t.Helper()
	x, y := a.Sys().(*syscall.Stat_t), b.Sys().(*syscall.Stat_t)
	require.Equal(t, [2]uint32{x.Uid, x.Gid}, [2]uint32{y.Uid, y.Gid})
}

// fullDisk returns a file that takes no byte. Not every container has Linux's.
func fullDisk(t *testing.T) string {
	t.Helper()
	const path = "/dev/full"
	if _, err := os.Stat(path); err == nil {
		return path
	}
	own := filepath.Join(t.TempDir(), "full")
	if err := syscall.Mknod(own, syscall.S_IFCHR|0o600, 1<<8|7); err != nil {
		realtest.Skip(t, "no %s: %v", path, err)
	}
	return own
}
