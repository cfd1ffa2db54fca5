package install

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// What the registry tells. A program of 32 bits is to see what one of 64 sees.
const readKey = registry.QUERY_VALUE | registry.WOW64_64KEY

const (
	frameworkKey = `SOFTWARE\Microsoft\NET Framework Setup\NDP\v4\Full`
	sessionKey   = `SYSTEM\CurrentControlSet\Control\Session Manager`
	servicingKey = `SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending`
	updateKey    = `SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired`
)

func systems() (map[string]string, error) {
	v := windows.RtlGetVersion() // what programs are told elsewhere depends on their manifest
	return map[string]string{"windows": fmt.Sprintf("%d.%d.%d", v.MajorVersion, v.MinorVersion, v.BuildNumber)}, nil
}

// frameworkRelease returns the number of the .NET Framework, 0 if there is none.
func frameworkRelease() (uint64, error) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, frameworkKey, readKey)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = k.Close() }()
	release, _, err := k.GetIntegerValue("Release")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return release, err
}

// rebootPending tells who waits for a restart of the machine.
func rebootPending() (reasons []string, err error) {
	for _, r := range []struct{ key, who string }{{servicingKey, "parts of Windows"}, {updateKey, "Windows Update"}} {
		k, err := registry.OpenKey(registry.LOCAL_MACHINE, r.key, readKey)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		_ = k.Close()
		reasons = append(reasons, r.who)
	}
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, sessionKey, readKey)
	if err != nil {
		return reasons, err
	}
	defer func() { _ = k.Close() }()
	// Both hold pairs of names; a second one is of newer systems.
	for _, name := range []string{"PendingFileRenameOperations", "PendingFileRenameOperations2"} {
		pairs, _, err := k.GetStringsValue(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return reasons, err
		}
		if len(pairs) > 0 {
			return append(reasons, "files that are to be replaced"), nil
		}
	}
	return reasons, nil
}

// elevated reports whether this process has the rights of an administrator,
// and not only its user.
func elevated() (bool, error) { return windows.GetCurrentProcessToken().IsElevated(), nil }
