package realtest

import (
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/windows"
)

// neverWas reports whether what holds a file in dir is one of Wine's processes that
// never were. Where a process is killed while it creates another, the server of Wine 8
// is left with a process that has no thread and no program behind it, which counts
// as ended, cannot be killed, and keeps the files that it was to inherit until the
// server ends. (Windows finishes the call before the caller dies.) So no process
// of this test's program, or of one in dir, lives.
func neverWas(t testing.TB, dir string) bool {
	t.Helper()
	if windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() != nil {
		return false
	}
	self, err := os.Executable()
	if err != nil {
		t.Error(err)
		return false
	}
	snap, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		t.Error(err)
		return false
	}
	defer func() { _ = windows.CloseHandle(snap) }()
	entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(snap, &entry); err == nil; err = windows.Process32Next(snap, &entry) {
		if entry.ProcessID == windows.GetCurrentProcessId() {
			continue
		}
		if image := imageOf(entry.ProcessID); strings.EqualFold(image, self) || strings.HasPrefix(image, dir) {
			t.Errorf("%s runs as process %d", image, entry.ProcessID)
			return false
		}
	}
	return true
}

// imageOf returns the path of a process's program, and "" for one that has ended.
func imageOf(pid uint32) string {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, pid)
	if err != nil {
		return ""
	}
	defer func() { _ = windows.CloseHandle(h) }()
	if event, err := windows.WaitForSingleObject(h, 0); err != nil || event != uint32(windows.WAIT_TIMEOUT) {
		return ""
	}
	var path [4 * windows.MAX_PATH]uint16
	size := uint32(len(path))
	if windows.QueryFullProcessImageName(h, 0, &path[0], &size) != nil {
		return ""
	}
	return windows.UTF16ToString(path[:size])
}
