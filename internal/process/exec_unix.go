//go:build unix

package process

import (
	"os"
	"os/exec"
	"syscall"
)

// OwnGroup starts a program in a process group of its own, so that a Ctrl-C
// typed at the terminal reaches this process, which stops at a safe point,
// and not the program, which would die in the middle of its work.
func OwnGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func exitOf(state *os.ProcessState) Exit {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return Exit{Code: 128 + uint32(ws.Signal()), Signaled: true} //nolint:gosec // signals are small
	}
	return Exit{Code: uint32(state.ExitCode())} //nolint:gosec // 0 to 255
}

// wait waits for the root.
func (t *Tree) wait(cmd *exec.Cmd) {
	defer close(t.ended)
	t.err = cmd.Wait()
	t.state = cmd.ProcessState
}
