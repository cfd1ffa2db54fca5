//go:build unix && !linux

package tree

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const noWait = unix.O_NONBLOCK | unix.O_NOCTTY

func (n *Node) set(fi fs.FileInfo) {
	n.Mode, n.Size, n.ModTime, n.blocks = fi.Mode(), fi.Size(), fi.ModTime(), -1
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		n.UID, n.GID = int(st.Uid), int(st.Gid)
	}
}

func (n *Node) count() error { return nil }

func ours(dir *Root) error {
	fi, err := dir.Stat(".")
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() || fi.Mode().Perm() != 0o700 {
		return errShared(fi.Mode())
	}
	return nil
}

func writable(dir string) bool { return unix.Access(dir, unix.W_OK|unix.X_OK) == nil }

func sameVolume(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	if err != nil {
		return false
	}
	return x.Sys().(*syscall.Stat_t).Dev == y.Sys().(*syscall.Stat_t).Dev
}
