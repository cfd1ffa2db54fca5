package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Remove removes the file or the directory name of root, and all that is in
// it, but nothing on another volume: it fails where one is mounted. It follows
// no link. A name that does not exist is no error.
func Remove(root *Root, name string) error { return removeIf(root, name, nil) }

// removeIf is Remove, and asks of an open directory first, unless ours is nil.
func removeIf(root *Root, name string, ours func(*os.File) bool) error {
	f, err := root.self()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	v, err := volumeOf(f)
	if err != nil {
		return err
	}
	return remove(f, v, name, path.Join(root.Name(), name), ours)
}

func remove(dir *os.File, v volume, name, full string, ours func(*os.File) bool) error {
	f, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if fi.Mode()&fs.ModeSymlink == 0 {
		if err := v.within(f, full); err != nil {
			return err
		}
	}
	flags := 0
	if fi.IsDir() {
		flags = unix.AT_REMOVEDIR
		if err := empty(dir, v, f, name, full, ours); err != nil {
			return err
		}
	}
	err = unix.Unlinkat(int(dir.Fd()), name, flags)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &fs.PathError{Op: "remove", Path: full, Err: err}
	}
	return nil
}

// empty removes what is in the directory name of dir, which held refers to.
func empty(dir *os.File, v volume, held *os.File, name, full string, ours func(*os.File) bool) error {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | noWait
	f, err := openat(dir, name, flags, full)
	if errors.Is(err, fs.ErrPermission) { // its own permissions forbid it
		if err := os.Chmod(fmt.Sprintf("/proc/self/fd/%d", held.Fd()), 0o700); err != nil { //nolint:gosec // about to be removed
			return err
		}
		f, err = openat(dir, name, flags, full)
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := v.within(f, full); err != nil {
		return err
	}
	if ours != nil && !ours(f) { // of what is open, whose name may have been given to another one since
		return errUnmarked
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if fi.Mode().Perm()&0o300 != 0o300 && os.Geteuid() != 0 {
		if err := f.Chmod(0o700); err != nil {
			return err
		}
	}
	list, err := names(f)
	for _, name := range list {
		if err == nil {
			err = remove(f, v, name, path.Join(full, name), nil)
		}
	}
	return err
}
