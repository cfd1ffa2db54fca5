package install

import (
	"os/exec"
	"syscall"
)

func alive(pid int) bool {
	_, err := readProcess(pid)
	return err == nil
}

func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
