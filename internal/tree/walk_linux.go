package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// noWait keeps an open from waiting for the other end of a pipe, or for a device.
const noWait = unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_NOCTTY

// set takes over what a descriptor says.
func (n *Node) set(fi fs.FileInfo) {
	n.Mode, n.Size, n.ModTime, n.blocks = fi.Mode(), fi.Size(), fi.ModTime(), -1
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		n.UID, n.GID = int(st.Uid), int(st.Gid)
		n.id, n.links, n.blocks = id{st.Dev, st.Ino}, uint64(st.Nlink), st.Blocks //nolint:unconvert // the type differs between processors
		n.status = time.Unix(st.Ctim.Unix())
	}
}

// A volume is what a walk stays on: two mounts of one device are two.
type volume struct{ device, mount uint64 }

func volumeOf(f *os.File) (v volume, err error) {
	var st unix.Statx_t
	err = unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &st)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // before Linux 4.11, or in some containers
		var old unix.Stat_t
		err = unix.Fstat(int(f.Fd()), &old)
		v.device = uint64(old.Dev) //nolint:unconvert // the type differs between processors
		return v, err
	}
	if err != nil {
		return v, &fs.PathError{Op: "statx", Path: f.Name(), Err: err}
	}
	v.device = unix.Mkdev(st.Dev_major, st.Dev_minor)
	if st.Mask&unix.STATX_MNT_ID != 0 { // Linux 5.8
		v.mount = st.Mnt_id
	}
	return v, nil
}

// within fails if f is on another volume than v.
func (v volume) within(f *os.File, name string) error {
	at, err := volumeOf(f)
	other := at.device != v.device
	if at.mount != 0 && v.mount != 0 {
		other = at.mount != v.mount // a subvolume of btrfs has a device of its own, and the same mount
	}
	if err == nil && other {
		err = fmt.Errorf("%s is mounted there from another volume", name)
	}
	return err
}

func (w walker) walk(root *Root, name string) error {
	before, err := root.Lstat(name)
	if err != nil {
		return err
	}
	w.found(".")
	if !before.IsDir() {
		return &fs.PathError{Op: "open", Path: path.Join(root.Name(), name), Err: unix.ENOTDIR}
	}
	dir, err := root.self()
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	f, err := openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|noWait, name)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) || errors.Is(err, fs.ErrNotExist) {
		return changed(name)
	}
	if err != nil {
		return err
	}
	if fi, err := f.Stat(); err != nil || !os.SameFile(before, fi) {
		return errors.Join(changed(name), err, f.Close())
	}
	v, err := volumeOf(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return w.directory(f, v, ".")
}

// directory visits an open directory and what is in it, and closes it.
func (w walker) directory(f *os.File, v volume, rel string) (err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	return w.each(f, fi, rel, func(name, rel string) error { return w.name(f, v, name, rel) })
}

// name visits one name of an open directory.
func (w walker) name(dir *os.File, v volume, name, rel string) error {
	// The first descriptor opens nothing: it holds on to what has the name.
	f, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, rel)
	if errors.Is(err, fs.ErrNotExist) {
		return changed(rel)
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	w.found(rel)
	n := Node{Path: rel}
	n.set(fi)
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		if n.Link, err = readlink(f); err != nil {
			return err
		}
		return w.visit(&n)
	case !fi.Mode().IsRegular() && !fi.IsDir():
		return w.visit(&n)
	}
	if err := v.within(f, rel); err != nil {
		return err
	}
	n.File, err = openat(dir, name, unix.O_RDONLY|noWait, rel)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		return changed(rel)
	}
	if err != nil {
		return err
	}
	now, err := n.File.Stat()
	if err == nil && !os.SameFile(fi, now) {
		err = changed(rel)
	}
	if err == nil {
		err = v.within(n.File, rel)
	}
	if err != nil {
		return errors.Join(err, n.File.Close())
	}
	if fi.IsDir() {
		return w.directory(n.File, v, rel)
	}
	defer func() { _ = n.File.Close() }()
	n.set(now)
	return w.visit(&n)
}

// openat opens a name of an open directory.
func openat(dir *os.File, name string, flags int, rel string) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_CLOEXEC, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, &fs.PathError{Op: "open", Path: rel, Err: err}
		}
		if flags&unix.O_NONBLOCK != 0 {
			_ = unix.SetNonblock(fd, false) // it was for the open alone
		}
		return os.NewFile(uintptr(fd), path.Join(dir.Name(), name)), nil
	}
}

func readlink(f *os.File) (string, error) {
	for size := 256; ; size *= 2 {
		b := make([]byte, size)
		n, err := unix.Readlinkat(int(f.Fd()), "", b)
		if err != nil {
			return "", &fs.PathError{Op: "readlink", Path: f.Name(), Err: err}
		}
		if n < size {
			return string(b[:n]), nil
		}
	}
}

// ours fails unless dir is an empty directory of this account that no other
// may enter.
func ours(dir *Root) error {
	f, err := dir.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() || fi.Mode().Perm() != 0o700 {
		return errShared(fi.Mode())
	}
	if list, err := names(f); err != nil || len(list) > 0 {
		return errors.Join(err, errors.New("it is not empty"))
	}
	return dropAttrs(f, acls) // a default list of the parent would be inherited
}
