package boot

import (
	"os"
	"strings"
)

// id returns the kernel's random ID of this boot.
func id() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}
