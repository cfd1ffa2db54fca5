// Package boot identifies the running boot of the machine. It exists because
// a process number, and a step that was to wait for a reboot, mean nothing
// without it.
package boot

import "fmt"

// ID returns a text that stays until the machine restarts and then differs.
// The error wraps [errors.ErrUnsupported] where the system has none.
func ID() (string, error) {
	id, err := id()
	if err != nil {
		return "", fmt.Errorf("read the boot's ID: %w", err)
	}
	return id, nil
}
