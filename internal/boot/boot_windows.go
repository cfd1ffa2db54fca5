package boot

import (
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

// id returns when the system was booted, in 100 ns since 1601. A change
// of the clock moves the boot time and its bias alike, so that the
// difference stays.
func id() (string, error) {
	var t timeOfDay
	err := windows.NtQuerySystemInformation(windows.SystemTimeOfDayInformation, unsafe.Pointer(&t), uint32(unsafe.Sizeof(t)), nil)
	return strconv.FormatInt(t.bootTime-int64(t.bootTimeBias), 10), err //nolint:gosec // only compared for equality
}
