package realtest

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Start starts a command that has no pipes of its own. On a busy machine Wine
// sometimes cannot bring a process up, of which then nothing has run: that is tried
// again, as package process does.
func Start(cmd *exec.Cmd) error {
	const (
		internalError = syscall.Errno(1359) // of Windows
		attempts      = 5
	)
	for try := 1; ; try++ {
		fresh := *cmd
		err := cmd.Start()
		if runtime.GOOS != "windows" || !errors.Is(err, internalError) || try == attempts {
			return err
		}
		*cmd = fresh
		time.Sleep(100 * time.Millisecond)
	}
}
