package rollback

import (
	"fmt"
	"os"
	"strings"
)

// bootID returns the kernel's random id of this boot.
func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("tell which boot this is: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}
