package command_test

import (
	"io/fs"
	"os/exec"
	"testing"

	"golang.org/x/sys/windows"
)

func leaveSession(*exec.Cmd) {}

func alive(pid int) bool {
	h, err := windows.OpenProcess(windows.SYNCHRONIZE, false, uint32(pid))
	if err != nil {
		return false
	}
	defer func() { _ = windows.CloseHandle(h) }()
	event, err := windows.WaitForSingleObject(h, 0)
	return err == nil && event == uint32(windows.WAIT_TIMEOUT)
}

func requireSameOwner(*testing.T, fs.FileInfo, fs.FileInfo) {}

func fullDisk(t *testing.T) string {
	t.Helper()
	t.Skip("Windows has no such file")
	return ""
}
