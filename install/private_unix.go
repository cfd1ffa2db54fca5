//go:build unix

package install

import (
	"io/fs"
	"os"
	"syscall"
)

// openToOthers reports whether every user may replace what is in the directory.
func openToOthers(fi fs.FileInfo) bool {
	return fi.Mode().Perm()&0o002 != 0 && fi.Mode()&fs.ModeSticky == 0
}

// ofAnotherUser reports whether the directory is neither this user's nor root's.
func ofAnotherUser(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Uid != 0 && int64(st.Uid) != int64(os.Geteuid())
}

// mkdirPrivate makes a directory that no other user can enter.
func mkdirPrivate(dir string) error { return os.Mkdir(dir, 0o700) }
