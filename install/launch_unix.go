//go:build unix

package install

import "io/fs"

// openToOthers reports whether every user may replace what is in the folder.
func openToOthers(fi fs.FileInfo) bool {
	return fi.Mode().Perm()&0o002 != 0 && fi.Mode()&fs.ModeSticky == 0
}
