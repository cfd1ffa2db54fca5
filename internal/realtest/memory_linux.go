package realtest

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// memory returns a directory in memory, or "" for the disk if there is too little. A database
// and a Windows have hundreds of files each, and on a disk a third of a test's time goes into making and
// removing them.
func memory() string {
	const dir, needed = "/dev/shm", 8 << 30
	var files unix.Statfs_t
	err := unix.Statfs(dir, &files)
	if err != nil || files.Type != unix.TMPFS_MAGIC || files.Flags&unix.ST_NOEXEC != 0 || files.Bavail < needed/uint64(files.Bsize) || available() < needed {
		return ""
	}
	return dir
}

// available returns the bytes of memory that programs could take; 0 if that is not known.
func available() (bytes uint64) {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &bytes); err == nil {
			return bytes << 10
		}
	}
	return 0
}
