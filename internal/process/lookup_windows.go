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
	var basic windows.PROCESS_BASIC_INFORMATION
	size = uint32(unsafe.Sizeof(basic))
	if windows.NtQueryInformationProcess(h, windows.ProcessBasicInformation, unsafe.Pointer(&basic), size, &size) == nil {
		m.Parent = int(basic.InheritedFromUniqueProcessId)
	}
	return m, true
}

// Arguments returns what follows the program in m's command line, none if m has ended or they
// may not be read. The directory that it works in is not known.
func (m Member) Arguments() (args []string, dir string) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(m.PID)) //nolint:gosec // a process number
	if err != nil {
		return nil, ""
	}
	defer func() { _ = windows.CloseHandle(h) }()
	if birth, err := birthOf(h); err != nil || birth != m.Birth {
		return nil, ""
	}
	// A command line has at most 32,767 characters; the text follows its header.
	buffer := make([]uint64, (64<<10+64)/8)
	size := uint32(len(buffer) * 8) //nolint:gosec // of the constant above
	if windows.NtQueryInformationProcess(h, windows.ProcessCommandLineInformation, unsafe.Pointer(&buffer[0]), size, &size) != nil {
		return nil, ""
	}
	all, err := windows.DecomposeCommandLine((*windows.NTUnicodeString)(unsafe.Pointer(&buffer[0])).String())
	if err != nil || len(all) < 2 {
		return nil, ""
	}
	return all[1:], ""
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
