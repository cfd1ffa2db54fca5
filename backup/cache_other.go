//go:build !linux

package backup

import "os"

// dropCache does nothing: the system has no such call, and files may be read
// back from its cache.
func dropCache(*os.File) {}
