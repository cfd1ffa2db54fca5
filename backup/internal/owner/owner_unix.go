//go:build unix

package owner

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func ids(fi fs.FileInfo) (uid, gid int) {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return os.Getuid(), os.Getgid()
}

// Chown sets the owner and the group of name, which may be a link, unless they are
// set already.
func Chown(root *os.Root, name string, uid, gid int) error {
	fi, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if u, g := ids(fi); u == uid && g == gid {
		return nil
	}
	if err := root.Lchown(name, uid, gid); err != nil {
		return fmt.Errorf("cannot set the owner %d:%d, run as root or as that user: %w", uid, gid, err)
	}
	return nil
}
