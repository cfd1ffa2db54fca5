package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// OpenExact opens the directory at an absolute path without links. It fails
// if a part of the path has become a link.
func OpenExact(dir string) (*Root, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, dir, &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // before Linux 5.6, or in some containers
		real, err := filepath.EvalSymlinks(dir)
		if err == nil && real != dir {
			err = fmt.Errorf("%s has become a link to %s", dir, real)
		}
		if err != nil {
			return nil, err
		}
		return openRoot(dir)
	}
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("a part of %s has become a link", dir)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return rootOf(os.NewFile(uintptr(fd), dir))
}

// openRoot opens the directory at path. Links in it are followed.
func openRoot(dir string) (*Root, error) {
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return rootOf(f)
}

// enter opens the directory name, which is no link.
func (r *Root) enter(name string) (*Root, error) {
	dir, err := r.self()
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	f, err := openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, name)
	if err != nil {
		return nil, err
	}
	return rootOf(f)
}

// rootOf makes a Root of the directory that f refers to, and closes f. os.OpenRoot
// resolves a path and would wait for a pipe that has taken its place; this path
// leads to the same directory in any case.
func rootOf(f *os.File) (*Root, error) {
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if errors.Is(err, fs.ErrNotExist) {
		root, err = os.OpenRoot(f.Name()) // /proc is not mounted
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return &Root{root, f.Name()}, nil
}

// self opens the directory itself, for system calls that need its descriptor.
func (r *Root) self() (*os.File, error) {
	f, err := r.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: r.path, Err: err}
	}
	return os.NewFile(uintptr(fd), r.path), nil
}

// Rename renames a name of one open directory as one of another, durably. If
// there is such a name, nothing changes and the error wraps [fs.ErrExist].
func Rename(from *Root, name string, to *Root, newname string) error {
	a, err := from.self()
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	b, err := to.self()
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	err = unix.Renameat2(int(a.Fd()), name, int(b.Fd()), newname, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system without the flag
		if _, err := to.Lstat(newname); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, renameError(from, name, to, newname, fs.ErrExist))
		}
		err = unix.Renameat(int(a.Fd()), name, int(b.Fd()), newname)
	}
	if err != nil {
		return renameError(from, name, to, newname, err)
	}
	return errors.Join(SyncDir(b), SyncDir(a))
}

func renameError(from *Root, name string, to *Root, newname string, err error) error {
	return &os.LinkError{Op: "rename", Old: filepath.Join(from.Name(), name), New: filepath.Join(to.Name(), newname), Err: err}
}

// Sync makes the names in an open directory durable.
func Sync(root *Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(SyncDir(f), f.Close())
}

// SyncDir makes the names in an open directory durable. Some network file
// systems cannot do that, which is no error.
func SyncDir(f *os.File) error {
	err := f.Sync()
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// Sync makes the file or the directory durable, with its owner, rights and
// times.
func (n *Node) Sync() error {
	if n.File == nil {
		return nil // a link lives in its directory
	}
	return SyncDir(n.File)
}
