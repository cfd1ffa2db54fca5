//go:build unix

package command_test

import (
	"io/fs"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// leaveSession makes a child that a signal to its parent's group misses.
func leaveSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func requireSameOwner(t *testing.T, a, b fs.FileInfo) {
	t.Helper()
	x, y := a.Sys().(*syscall.Stat_t), b.Sys().(*syscall.Stat_t)
	require.Equal(t, [2]uint32{x.Uid, x.Gid}, [2]uint32{y.Uid, y.Gid})
}
