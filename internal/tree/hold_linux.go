package tree

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Hold refers to the file name of root without opening it: closing an open
// file would drop the locks that this process has on it.
func Hold(root *Root, name string) (*os.File, error) {
	dir, err := root.self()
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	return openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, name)
}

// Opened reports whether this process has opened the file that held refers to.
// It returns true if that cannot be found out.
func Opened(held *os.File) bool {
	want, err := held.Stat()
	if err != nil {
		return true
	}
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return true
	}
	for _, e := range list {
		fi, err := os.Stat("/proc/self/fd/" + e.Name())
		if err == nil && os.SameFile(fi, want) && e.Name() != strconv.Itoa(int(held.Fd())) {
			return true
		}
	}
	return false
}
