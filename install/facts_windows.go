package install

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// A program of 32 bits reads the registry of 64 bits.
const readKey = registry.QUERY_VALUE | registry.WOW64_64KEY

const (
	frameworkKey = `SOFTWARE\Microsoft\NET Framework Setup\NDP\v4\Full`
	sessionKey   = `SYSTEM\CurrentControlSet\Control\Session Manager`
	servicingKey = `SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending`
	updateKey    = `SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired`
)

func systems() (map[string]string, error) {
	v := windows.RtlGetVersion() // other functions answer according to a program's manifest
	return map[string]string{"windows": fmt.Sprintf("%d.%d.%d", v.MajorVersion, v.MinorVersion, v.BuildNumber)}, nil
}

// frameworkRelease returns the release number of the .NET Framework, 0 if it is
// not installed.
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

// rebootPending returns what waits for a restart of the machine.
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
	// Both are lists of pairs of names; newer systems have the second.
	for _, name := range []string{"PendingFileRenameOperations", "PendingFileRenameOperations2"} {
		pairs, _, err := k.GetStringsValue(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return reasons, err
		}
		if len(pairs) > 0 {
			return append(reasons, "files are to be replaced"), nil
		}
	}
	return reasons, nil
}

// elevated reports whether this process, not only its user, has the rights of
// an administrator.
func elevated() (bool, error) { return windows.GetCurrentProcessToken().IsElevated(), nil }

func forbidsPrograms(string) (bool, error) { return false, nil }
