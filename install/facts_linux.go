package install

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

func systems() (map[string]string, error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return nil, err
	}
	has := map[string]string{"linux": unix.ByteSliceToString(name.Release[:])}
	for _, path := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if id, version := osRelease(string(b)); id != "" {
			has[id] = version
		}
		break
	}
	return has, nil
}

// forbidsPrograms reports whether the volume of a path, which need not exist yet, is mounted noexec.
func forbidsPrograms(path string) (bool, error) {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(path, &st)
		parent := filepath.Dir(path)
		if errors.Is(err, unix.ENOENT) && parent != path {
			path = parent
			continue
		}
		return st.Flags&unix.ST_NOEXEC != 0, os.NewSyscallError("statfs", err)
	}
}

func frameworkRelease() (uint64, error) { return 0, errors.ErrUnsupported }

// rebootPending checks for the mark that packages of Debian and its
// derivatives leave.
func rebootPending() ([]string, error) { return rebootMark("/run/reboot-required") }

func rebootMark(path string) ([]string, error) {
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []string{path + " exists"}, nil
}

func elevated() (bool, error) { return os.Geteuid() == 0, nil }
