package install

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

func thisMachine() machine {
	m := machine{goos: "windows", build: windows.RtlGetVersion().BuildNumber}
	var process, native uint16
	if windows.IsWow64Process2(windows.CurrentProcess(), &process, &native) != nil {
		return m
	}
	m.processor = peProcessors[native]
	if dir, err := windows.GetSystemWindowsDirectory(); err == nil && (m.processor == x64 || m.processor == arm64) {
		// Every process of 32 bits has it.
		_, err = os.Stat(filepath.Join(dir, "SysWOW64", "ntdll.dll"))
		m.only64 = errors.Is(err, fs.ErrNotExist)
	}
	return m
}

func interpreted([]byte) bool { return false }
