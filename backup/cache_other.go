//go:build !linux

package backup

import "os"

// dropCache does nothing where the system has no such advice: the bytes are
// read back through the cache then.
func dropCache(*os.File) {}
