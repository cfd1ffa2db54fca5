package install

import (
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// bornEarlier is the birth of a process that had the number before.
func bornEarlier(int) string { return "1" }

func detach(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP}
}
