//go:build !linux

package install

import "os"

// copyAttributes does nothing: extended attributes mark programs on Linux only.
func copyAttributes(_, _ *os.File) error { return nil }
