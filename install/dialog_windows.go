package install

import (
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/aspupdate/aspupdate/internal/process"
)

var getWindowText = windows.NewLazySystemDLL("user32.dll").NewProc("GetWindowTextW")

// windowsOf returns the titles of the visible windows of a tree's processes, as far
// as this process's desktop shows them.
func windowsOf(t *process.Tree) (titles []string) {
	members, err := t.Members()
	if err != nil {
		return nil
	}
	ours := map[uint32]bool{}
	for _, m := range members {
		ours[uint32(m.PID)] = true //nolint:gosec // a process number
	}
	collect := func(hwnd windows.HWND, _ uintptr) uintptr {
		const goOn = 1
		var pid uint32
		if _, err := windows.GetWindowThreadProcessId(hwnd, &pid); err != nil || !ours[pid] || !windows.IsWindowVisible(hwnd) {
			return goOn
		}
		var text [256]uint16
		n, _, _ := getWindowText.Call(uintptr(hwnd), uintptr(unsafe.Pointer(&text[0])), uintptr(len(text)))
		if title := strings.TrimSpace(windows.UTF16ToString(text[:n])); title != "" {
			titles = append(titles, printable([]byte(title), false))
		}
		return goOn
	}
	// A callback is never freed, and there may be 2,000: this is made once for each
	// installer that does nothing.
	_ = windows.EnumWindows(syscall.NewCallback(collect), nil)
	return titles
}
