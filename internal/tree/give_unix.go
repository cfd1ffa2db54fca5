//go:build unix

package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Give makes an open file or directory belong to uid and gid, and then sets its
// permissions and set-id bits: a change of the owner takes those away.
func Give(f *os.File, uid, gid int, mode fs.FileMode) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != uid || int(st.Gid) != gid {
		if err := f.Chown(uid, gid); err != nil {
			return wrongOwner(uid, gid, err)
		}
	}
	return f.Chmod(mode & rights)
}

// GiveDir is [Give] for the directory name of root, which also gets attrs.
func GiveDir(root *os.Root, name string, uid, gid int, mode fs.FileMode, attrs map[string]string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(Give(f, uid, gid, mode), SetAttrs(f, attrs), f.Close())
}

// GiveLink makes the link name of root belong to uid and gid.
func GiveLink(root *os.Root, name string, uid, gid int) error {
	fi, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && int(st.Uid) == uid && int(st.Gid) == gid {
		return nil
	}
	if err := root.Lchown(name, uid, gid); err != nil {
		return wrongOwner(uid, gid, err)
	}
	return nil
}

func wrongOwner(uid, gid int, err error) error {
	return fmt.Errorf("cannot set the owner %d:%d, run as root or as that user: %w", uid, gid, err)
}
