//go:build unix

package share

import "syscall"

var brokenCodes = []syscall.Errno{
	syscall.EIO, syscall.ENXIO, syscall.ENODEV, syscall.ESTALE, syscall.ENOTCONN, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
}
