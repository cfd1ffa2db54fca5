package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/aspupdate/aspupdate/internal/private"
)

// mark is an attribute that only root can set. It stays with a directory that is renamed.
const mark = "trusted.aspupdate"

// closed reports whether no other account than this one and root may rename in r.
func (r *Root) closed() bool {
	return os.Geteuid() != 0 || private.Check(filepath.Join(r.Name(), "aspupdate-new")) == nil
}

// mark marks a directory that was made in another.
func (r *Root) mark(in *Root) error {
	if in.closed() {
		return nil
	}
	f, err := r.self()
	if err != nil {
		return err
	}
	return errors.Join(setMark(f), f.Close())
}

func setMark(f *os.File) error {
	err := unix.Setxattr("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), mark, nil, 0) // f may have been opened for its path alone
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS) {
		return nil // see Marked
	}
	if err != nil {
		return &fs.PathError{Op: "mark", Path: f.Name(), Err: err}
	}
	return nil
}

// Claim marks the directory name of root if it has the owner of the directory like, of
// which that is known to be right.
func Claim(root *Root, name, like string) error {
	if root.closed() {
		return nil
	}
	dir, err := root.self()
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	open := func(name string) (f *os.File, uid uint32, err error) {
		if f, err = openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, filepath.Join(root.Name(), name)); err != nil {
			return nil, 0, err
		}
		fi, err := f.Stat()
		if err != nil {
			return nil, 0, errors.Join(err, f.Close())
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && fi.IsDir() {
			return f, st.Uid, nil
		}
		return nil, 0, f.Close()
	}
	f, owner, err := open(name)
	if err != nil || f == nil {
		return err
	}
	defer func() { _ = f.Close() }()
	other, want, err := open(like)
	if err != nil || other == nil {
		return err
	}
	defer func() { _ = other.Close() }()
	if owner != want {
		return nil
	}
	return setMark(f)
}

// Marked reports whether the name of root may be removed with all that is in it: whether it is a
// directory that [Make] made or [Claim] marked. Where another account may rename in root, it could
// give a directory the name of one of ours that it could not remove itself.
//
// What is no directory is always marked, since who may rename it may remove it too. So is
// everything where no other account may rename in root, where this account is not root, which
// removes no more than its user could, and where the file system or a container keeps no marks.
func Marked(root *Root, name string) (bool, error) {
	if root.closed() {
		return true, nil
	}
	dir, err := root.self()
	if err != nil {
		return false, err
	}
	defer func() { _ = dir.Close() }()
	f, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, filepath.Join(root.Name(), name))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil || !fi.IsDir() {
		return err == nil, err
	}
	path := "/proc/self/fd/" + strconv.Itoa(int(f.Fd()))
	if _, err := unix.Getxattr(path, mark, nil); err == nil {
		return true, nil
	}
	// Nothing is changed: there is nothing to replace.
	return !errors.Is(unix.Setxattr(path, mark, nil, unix.XATTR_REPLACE), unix.ENODATA), nil
}
