//go:build unix

package demo

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the application.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
