//go:build unix

package process

import (
	"os/exec"
	"syscall"
)

// A Tree is a program together with everything that it starts.
type Tree struct {
	root int // also the number of its session and of its first group
	mark string
}

// Start starts cmd in a session of its own: a Ctrl-C does not reach it, and a
// program that would ask for a password at the terminal finds none. The caller
// waits for cmd, and closes the tree after that.
func Start(cmd *exec.Cmd) (*Tree, error) {
	t := &Tree{mark: mark(cmd)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	t.root = cmd.Process.Pid
	return t, nil
}

// Close gives up what the system holds for the tree. Processes of it that are
// alive stay so.
func (t *Tree) Close() {}
