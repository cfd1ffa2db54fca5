//go:build !windows

package copies

import (
	"os"
	"syscall"
)

// noWait keeps an open from following a link, and from waiting for the other end of a pipe.
const noWait = syscall.O_NONBLOCK | syscall.O_NOFOLLOW

func syncDir(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	// Some network file systems cannot; a name that is lost in a power cut is copied again.
	_ = d.Sync()
	return nil
}
