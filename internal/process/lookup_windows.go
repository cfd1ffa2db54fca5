package process

import (
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Lookup returns the living process with that PID, or false.
func Lookup(pid int) (Member, bool) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(pid)) //nolint:gosec // a process number
	if err != nil {
		return Member{}, false
	}
	defer func() { _ = windows.CloseHandle(h) }()
	birth, err := birthOf(h)
	if err != nil || !running(h) {
		return Member{}, false
	}
	m := Member{PID: pid, Birth: birth}
	var path [4 * windows.MAX_PATH]uint16
	size := uint32(len(path))
	if windows.QueryFullProcessImageName(h, 0, &path[0], &size) == nil {
		m.Path = windows.UTF16ToString(path[:size])
		m.Name = filepath.Base(m.Path)
	}
	if basic, err := basicOf(h); err == nil {
		m.Parent = int(basic.parent)
	}
	return m, true
}

// basicInformation is what Windows knows of a process. Its addresses are another process's, and
// would be mistaken for this one's as pointers.
type basicInformation struct {
	exit, environment, affinity, priority, pid, parent uintptr
}

func basicOf(h windows.Handle) (basic basicInformation, err error) {
	size := uint32(unsafe.Sizeof(basic))
	err = windows.NtQueryInformationProcess(h, windows.ProcessBasicInformation, unsafe.Pointer(&basic), size, &size)
	return basic, err
}

// Arguments returns what follows the program in m's command line, and the directory it works in.
// Both are empty if m has ended or they may not be read.
func (m Member) Arguments() (args []string, dir string) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_INFORMATION|windows.PROCESS_VM_READ, false, uint32(m.PID)) //nolint:gosec // a process number
	if err != nil {
		return nil, ""
	}
	defer func() { _ = windows.CloseHandle(h) }()
	birth, err := birthOf(h)
	basic, basicErr := basicOf(h)
	if err != nil || basicErr != nil || birth != m.Birth {
		return nil, ""
	}
	// They are in the process's memory, in what its environment block has a pointer to.
	var block [5]uintptr
	if !readFrom(h, basic.environment, unsafe.Pointer(&block), unsafe.Sizeof(block)) {
		return nil, ""
	}
	text := func(offset uintptr) string {
		var s struct {
			size, capacity uint16
			at             uintptr
		}
		if !readFrom(h, block[4]+offset, unsafe.Pointer(&s), unsafe.Sizeof(s)) || s.size < 2 {
			return ""
		}
		b := make([]uint16, s.size/2)
		if !readFrom(h, s.at, unsafe.Pointer(&b[0]), uintptr(len(b))*2) {
			return ""
		}
		return windows.UTF16ToString(b)
	}
	var parameters windows.RTL_USER_PROCESS_PARAMETERS // for the offsets
	all, err := windows.DecomposeCommandLine(text(unsafe.Offsetof(parameters.CommandLine)))
	if err != nil || len(all) < 2 {
		return nil, ""
	}
	return all[1:], text(unsafe.Offsetof(parameters.CurrentDirectory))
}

// readFrom reads the memory of another process.
func readFrom(h windows.Handle, at uintptr, into unsafe.Pointer, size uintptr) bool {
	var n uintptr
	return windows.ReadProcessMemory(h, at, (*byte)(into), size, &n) == nil && n == size
}

// running reports whether the process of the handle has not ended.
func running(h windows.Handle) bool {
	event, err := windows.WaitForSingleObject(h, 0)
	return err == nil && event == uint32(windows.WAIT_TIMEOUT)
}

// birthOf returns when a process was started, in 100 ns since 1601.
func birthOf(h windows.Handle) (string, error) {
	var born, exit, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(h, &born, &exit, &kernel, &user); err != nil {
		return "", err
	}
	return strconv.FormatUint(ticks(born), 10), nil
}

func ticks(t windows.Filetime) uint64 {
	return uint64(t.HighDateTime)<<32 | uint64(t.LowDateTime)
}

// Descendants returns the living process pid and those that descend from it,
// for a process that this package did not start, such as a service's. With an
// error it returns pid alone.
func Descendants(pid int) ([]Member, error) {
	parents := map[int]int{}
	snap, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err == nil {
		entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
		for next := windows.Process32First(snap, &entry); next == nil; next = windows.Process32Next(snap, &entry) {
			parents[int(entry.ProcessID)] = int(entry.ParentProcessID)
		}
		_ = windows.CloseHandle(snap)
	}

	var list []Member
	born := map[int]uint64{} // of the processes in list
	add := func(pid int, notBefore uint64) bool {
		m, ok := Lookup(pid)
		birth, _ := strconv.ParseUint(m.Birth, 10, 64)
		if !ok || birth < notBefore {
			return false
		}
		born[pid], list = birth, append(list, m)
		return true
	}
	for grown := add(pid, 0); grown; {
		grown = false
		for child, parent := range parents {
			// A parent's number may have been another's before.
			birth, ok := born[parent]
			if _, seen := born[child]; ok && !seen && add(child, birth) {
				grown = true
			}
		}
	}
	return list, err
}
