//go:build unix

package files

import (
	"archive/tar"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// own gives name the owner and the group that it had. Only root may give
// files away; where they are ours already nothing is asked for.
func own(root *os.Root, name string, h *tar.Header) error {
	return chown(func() (fs.FileInfo, error) { return root.Lstat(name) },
		func(uid, gid int) error { return root.Lchown(name, uid, gid) }, h.Uid, h.Gid)
}

func chown(lstat func() (fs.FileInfo, error), lchown func(uid, gid int) error, uid, gid int) error {
	fi, err := lstat()
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && int(st.Uid) == uid && int(st.Gid) == gid {
		return nil
	}
	if err := lchown(uid, gid); err != nil {
		return fmt.Errorf("owner %d:%d cannot be given back, run as root or as that user: %w", uid, gid, err)
	}
	return nil
}

// ownerOf returns the numbers of a file's owner and group.
func ownerOf(fi fs.FileInfo) (uid, gid int) {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return os.Getuid(), os.Getgid()
}

func chownPath(path string, uid, gid int) error {
	return chown(func() (fs.FileInfo, error) { return os.Lstat(path) },
		func(uid, gid int) error { return os.Lchown(path, uid, gid) }, uid, gid)
}
