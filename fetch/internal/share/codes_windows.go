package share

import "syscall"

// See https://learn.microsoft.com/en-us/windows/win32/debug/system-error-codes
const (
	errorNotReady           = syscall.Errno(21)
	errorCRC                = syscall.Errno(23)
	errorBadNetPath         = syscall.Errno(53)
	errorDevNotExist        = syscall.Errno(55)
	errorUnexpNetErr        = syscall.Errno(59)
	errorNetnameDeleted     = syscall.Errno(64)
	errorNoMediaInDrive     = syscall.Errno(1112)
	errorIODevice           = syscall.Errno(1117)
	errorDeviceNotConnected = syscall.Errno(1167)
)

var brokenCodes = []syscall.Errno{
	errorNotReady, errorCRC, errorBadNetPath, errorDevNotExist, errorUnexpNetErr, errorNetnameDeleted, errorNoMediaInDrive, errorIODevice,
	errorDeviceNotConnected,
}
