//go:build unix && !linux

package process

import "syscall"

// Kill ends the tree's process group. A process that has left it is not
// found: there is no portable way.
func (t *Tree) Kill() error { return syscall.Kill(-t.root, syscall.SIGKILL) }
