package backup

import (
	"os"

	"golang.org/x/sys/unix"
)

// dropCache asks the kernel to forget the pages of a synced file, so that
// reading it back asks the disk. It is advice: an error changes nothing.
func dropCache(f *os.File) {
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
