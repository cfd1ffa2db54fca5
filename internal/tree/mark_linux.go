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
	setMark(f)
	return f.Close()
}

// setMark marks an open directory. A failure, as on a full disk or where there are no such attributes,
// keeps no restore from going on: see [RemoveOurs].
func setMark(f *os.File) {
	_ = unix.Setxattr("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), mark, nil, 0) // f may have been opened for its path alone
}

// Claim marks the directory name of root if it has the owner of the directory like, of
// which that is known to be right. What it cannot mark it leaves as it is.
func Claim(root *Root, name, like string) {
	dir, err := root.self()
	if err != nil || root.closed() {
		return
	}
	defer func() { _ = dir.Close() }()
	f, owner := directoryAt(dir, name)
	other, want := directoryAt(dir, like)
	if f != nil && other != nil && owner == want {
		setMark(f)
	}
	for _, open := range []*os.File{f, other} {
		if open != nil {
			_ = open.Close()
		}
	}
}

// directoryAt opens the directory name of dir, and returns its owner, too; nil if it is none.
func directoryAt(dir *os.File, name string) (*os.File, uint32) {
	f, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY, name)
	if err != nil {
		return nil, 0
	}
	if fi, err := f.Stat(); err == nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			return f, st.Uid
		}
	}
	_ = f.Close()
	return nil, 0
}

// RemoveOurs is [Remove] for what this account has made or put aside in root: a
// directory that [Make] made or [Claim] marked. Where another account may rename in root, it could
// give a directory the name of one of ours that it could not remove itself: that stays,
// and the result is false. An empty one may be of a run that was killed before it marked it.
//
// What is no directory is removed in any case, since who may rename it may remove it too. So is
// everything where no other account may rename in root, where this account is not root, which
// removes no more than its user could, and where the file system or a container keeps no marks.
func RemoveOurs(root *Root, name string) (bool, error) {
	if root.closed() {
		return true, Remove(root, name)
	}
	err := removeIf(root, name, marked)
	if errors.Is(err, errUnmarked) {
		err = root.Remove(name)
		return err == nil || errors.Is(err, fs.ErrNotExist), nil
	}
	return true, err
}

// errUnmarked is that of a directory that is not known to be ours.
var errUnmarked = errors.New("not marked")

// marked reports whether an open directory is, or could not be.
func marked(f *os.File) bool {
	if _, err := unix.Fgetxattr(int(f.Fd()), mark, nil); err == nil {
		return true
	}
	// Nothing is changed: there is nothing to replace.
	return !errors.Is(unix.Fsetxattr(int(f.Fd()), mark, nil, unix.XATTR_REPLACE), unix.ENODATA)
}
