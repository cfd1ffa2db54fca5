// Package boot identifies the running boot of the machine. It exists because
// a process ID, and a step that waits for a reboot, mean nothing without it.
package boot

import "fmt"

// ID returns a text that differs from one boot of the machine to the next.
// The error wraps [errors.ErrUnsupported] where the system has none.
func ID() (string, error) {
	id, err := id()
	if err != nil {
		return "", fmt.Errorf("read the boot's ID: %w", err)
	}
	return id, nil
}
