//go:build unix

package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	// Some network file systems cannot sync a directory.
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOTSUP) {
		err = nil
	}
	return errors.Join(err, f.Close())
}

func rename(oldpath, newpath string) error { return os.Rename(oldpath, newpath) }

func volumeOf(path string) (Volume, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return Volume{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return Volume{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	return Volume{ID: fmt.Sprint(st.Dev), Free: int64(fs.Bavail) * int64(fs.Bsize)}, nil //nolint:gosec,unconvert // sizes fit; the field types differ between systems
}

const noFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK

func writable(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
