package tree

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const acls = "system.posix_acl_"

// kept reports whether an extended attribute belongs to a file: access control
// lists, capabilities, and what programs put there. The label of the system's own
// policy (security.selinux) is that of what a restore replaces, see [CopyLabel].
func kept(name string) bool {
	return name != mark && (strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "trusted.") ||
		strings.HasPrefix(name, acls) || name == "security.capability")
}

// Attrs returns the access control lists, capabilities and extended attributes
// of an open file or directory, by name. It returns none where the file system
// has none.
func Attrs(f *os.File) (map[string]string, error) {
	list, err := attrNames(f)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	attrs := map[string]string{}
	for _, name := range list {
		if !kept(name) {
			continue
		}
		value, err := sized(func(b []byte) (int, error) { return unix.Fgetxattr(int(f.Fd()), name, b) })
		if errors.Is(err, unix.ENODATA) {
			return nil, changed(f.Name())
		}
		if err != nil {
			return nil, &fs.PathError{Op: "read the attribute " + name + " of", Path: f.Name(), Err: err}
		}
		attrs[name] = string(value)
	}
	return attrs, nil
}

func attrNames(f *os.File) ([]string, error) {
	b, err := sized(func(b []byte) (int, error) { return unix.Flistxattr(int(f.Fd()), b) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "list the attributes of", Path: f.Name(), Err: err}
	}
	var list []string
	for name := range bytes.SplitSeq(b, []byte{0}) {
		if len(name) > 0 {
			list = append(list, string(name))
		}
	}
	return list, nil
}

// sized calls get with a buffer that is large enough.
func sized(get func([]byte) (int, error)) ([]byte, error) {
	for size := 1 << 10; ; size *= 4 {
		b := make([]byte, size)
		n, err := get(b)
		if errors.Is(err, unix.ERANGE) && size < 1<<20 {
			continue
		}
		return b[:max(n, 0)], err
	}
}

// SetAttrs sets what [Attrs] has returned. It comes after owner and
// permissions: a change of the owner takes capabilities away.
func SetAttrs(f *os.File, attrs map[string]string) error {
	names := slices.Collect(maps.Keys(attrs))
	// Those that may change the permissions for a moment come before access control lists, whose
	// mask that would replace.
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(fromUser(b), fromUser(a)), strings.Compare(a, b))
	})
	for _, name := range names {
		err := error(unix.EINVAL)
		if kept(name) {
			err = setAttr(f, name, attrs[name])
		}
		if err != nil {
			return &fs.PathError{Op: "set the attribute " + name + " of", Path: filepath.Base(f.Name()), Err: err}
		}
	}
	return nil
}

// fromUser returns 1 for an attribute that needs the right to write the file, and
// else 0.
func fromUser(name string) int {
	if strings.HasPrefix(name, "user.") {
		return 1
	}
	return 0
}

func setAttr(f *os.File, name, value string) error {
	set := func() error { return unix.Fsetxattr(int(f.Fd()), name, []byte(value), 0) }
	err := set()
	if !errors.Is(err, unix.EACCES) || fromUser(name) == 0 {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	mode := fi.Mode() & rights
	if err := f.Chmod(mode | 0o200); err != nil {
		return err
	}
	return errors.Join(set(), f.Chmod(mode))
}

// label is where a policy keeps how a file may be used. What is made in a directory
// gets that directory's, which is another one than what is in its place may have.
const label = "security.selinux"

// CopyLabel gives the file or directory name of root the label of another, if that
// exists and has one.
func CopyLabel(from *Root, old string, root *Root, name string) error {
	path := func(r *Root, name string) (string, func(), error) {
		f, err := r.self()
		if err != nil {
			return "", nil, err
		}
		return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), name), func() { _ = f.Close() }, nil
	}
	source, done, err := path(from, old)
	if err != nil {
		return err
	}
	defer done()
	target, done, err := path(root, name)
	if err != nil {
		return err
	}
	defer done()
	read := func(path string) ([]byte, error) {
		var value []byte
		_, err := sized(func(b []byte) (n int, err error) {
			n, err = unix.Lgetxattr(path, label, b)
			value = b[:max(n, 0)]
			return n, err
		})
		return value, err
	}
	want, err := read(source)
	if err != nil { // it does not exist, or the system has no such policy
		return nil
	}
	if have, err := read(target); err == nil && bytes.Equal(have, want) {
		return nil
	}
	if err := unix.Lsetxattr(target, label, want, 0); err != nil {
		return &fs.PathError{Op: "set the label " + string(bytes.TrimRight(want, "\x00")) + " of", Path: filepath.Join(root.Name(), name), Err: err}
	}
	return nil
}

// dropAttrs removes the attributes with that prefix.
func dropAttrs(f *os.File, prefix string) error {
	list, err := attrNames(f)
	if err != nil {
		return err
	}
	for _, name := range list {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if err := unix.Fremovexattr(int(f.Fd()), name); err != nil {
			return &fs.PathError{Op: "remove the attribute " + name + " of", Path: f.Name(), Err: err}
		}
	}
	return nil
}
