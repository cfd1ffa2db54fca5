package rollback

import (
	"fmt"
	"strconv"
	"unsafe"

	"golang.org/x/sys/windows"
)

// timeOfDay is SYSTEM_TIMEOFDAY_INFORMATION.
type timeOfDay struct {
	bootTime, currentTime, timeZoneBias int64
	timeZoneID, reserved                uint32
	bootTimeBias, sleepTimeBias         uint64
}

// bootID returns when the system was booted, in 100 ns since 1601. A change
// of the clock moves the boot time and its bias alike, so that the
// difference stays.
func bootID() (string, error) {
	var t timeOfDay
	err := windows.NtQuerySystemInformation(windows.SystemTimeOfDayInformation, unsafe.Pointer(&t), uint32(unsafe.Sizeof(t)), nil)
	if err != nil {
		return "", fmt.Errorf("tell which boot this is: %w", err)
	}
	return strconv.FormatInt(t.bootTime-int64(t.bootTimeBias), 10), nil //nolint:gosec // only compared for equality
}
