package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// allocate gives the file its bytes, without writing them.
func allocate(f *os.File, bytes int64) error {
	err := unix.Fallocate(int(f.Fd()), 0, 0, bytes)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return errors.ErrUnsupported
	}
	return os.NewSyscallError("fallocate", err)
}
