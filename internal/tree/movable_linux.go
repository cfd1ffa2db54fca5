package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Movable fails if the file or the directory name of root cannot be renamed,
// or not without taking something else along: it is a mount point, something is
// mounted inside it, or it or root is marked as one that cannot be changed
// (chattr +i or +a). A name that does not exist is no error.
func Movable(root *Root, name string) error {
	dir, err := root.self()
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	full := filepath.Join(root.Name(), name)
	if fixed(dir) {
		return fixedError(root.Name())
	}
	f, err := openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW, full)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	v, err := volumeOf(dir)
	if err != nil {
		return err
	}
	if err := v.within(f, full); err != nil {
		return fmt.Errorf("a mount point cannot be renamed: %w", err)
	}
	if fixed(f) {
		return fixedError(full)
	}
	for _, m := range mounts() {
		if strings.HasPrefix(m, full+"/") {
			return fmt.Errorf("%s is mounted inside %s and would be moved along with it", m, full)
		}
	}
	return nil
}

// Fixed fails if an open file of a tree is marked as one that cannot be changed,
// renamed or removed.
func (n *Node) Fixed() error {
	if n.File != nil && fixed(n.File) {
		return fixedError(n.File.Name())
	}
	return nil
}

func fixedError(path string) error {
	return fmt.Errorf("%s is marked as immutable or append-only: chattr -i -a removes the mark", path)
}

func fixed(f *os.File) bool {
	var st unix.Statx_t
	err := unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_TYPE, &st)
	return err == nil && st.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0
}

// mounts returns where volumes are mounted. It returns none without /proc.
func mounts() []string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var list []string
	for line := range strings.Lines(string(b)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			list = append(list, unescape(fields[4]))
		}
	}
	return list
}

// unescape reads a path in which spaces and backslashes are written in octal.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// writable reports whether this account may make names in dir.
func writable(dir string) bool { return unix.Access(dir, unix.W_OK|unix.X_OK) == nil }

// sameVolume reports whether a file of one directory can be renamed into the other.
func sameVolume(a, b string) bool {
	of := func(dir string) (v volume, err error) {
		f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return v, err
		}
		defer func() { _ = f.Close() }()
		return volumeOf(f)
	}
	va, err := of(a)
	if err != nil {
		return false
	}
	vb, err := of(b)
	return err == nil && va == vb
}
