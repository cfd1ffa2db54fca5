package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// beNice lowers the priority of this process, and of all that it starts, for the
// processor and for disks. On Linux each thread has its own, and a new one that of the
// thread that made it. Errors do not matter: it then runs as others do.
func beNice() {
	const idleDisk = 3 << 13 // IOPRIO_CLASS_IDLE
	threads, _ := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, 19)
			_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, 1, uintptr(id), idleDisk)
		}
	}
}
