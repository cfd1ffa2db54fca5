//go:build unix

package lock

import (
	"os"
	"syscall"
)

// openFlag never follows a link in the lock's place: it would make or lock a
// file elsewhere.
const openFlag = os.O_CREATE | os.O_RDONLY | syscall.O_NOFOLLOW | syscall.O_NONBLOCK
