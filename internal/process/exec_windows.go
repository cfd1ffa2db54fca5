package process

import "syscall"

// OwnGroup starts a program in a process group of its own, so that a Ctrl-C
// typed at the terminal reaches this process, which stops at a safe point,
// and not the program, which would die in the middle of its work.
func OwnGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
