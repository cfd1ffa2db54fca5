package install

import (
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/windows"
)

// serviceMutex is held by Windows Installer while it changes the machine.
const serviceMutex = `Global\_MSIExecute`

// serviceBusy reports whether Windows Installer is changing the machine.
func serviceBusy() (bool, error) {
	name, err := windows.UTF16PtrFromString(serviceMutex)
	if err != nil {
		return false, err
	}
	runtime.LockOSThread() // a mutex belongs to the thread that acquired it
	defer runtime.UnlockOSThread()
	h, err := windows.OpenMutex(windows.SYNCHRONIZE, false, name)
	if errors.Is(err, windows.ERROR_FILE_NOT_FOUND) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = windows.CloseHandle(h) }()
	event, err := windows.WaitForSingleObject(h, 0)
	switch event {
	case uint32(windows.WAIT_TIMEOUT):
		return true, nil
	case windows.WAIT_OBJECT_0, windows.WAIT_ABANDONED:
		return false, windows.ReleaseMutex(h)
	}
	return false, err
}

// msiexec returns the system's own, whatever the search path is.
func msiexec() string {
	dir, err := windows.GetSystemDirectory()
	if err != nil {
		return "msiexec"
	}
	return filepath.Join(dir, "msiexec.exe")
}

// setLine makes line the whole command line of cmd, if it is not empty.
func setLine(cmd *exec.Cmd, line string) { cmd.SysProcAttr = &syscall.SysProcAttr{CmdLine: line} }
