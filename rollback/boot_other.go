//go:build !linux && !windows

package rollback

import (
	"errors"
	"fmt"
)

// bootID is not known here; give Update.BootID.
func bootID() (string, error) {
	return "", fmt.Errorf("tell which boot this is: %w; set BootID", errors.ErrUnsupported)
}
