package durable

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/windows"
)

// SyncDir does nothing on Windows: NTFS logs changes of names, and
// MOVEFILE_WRITE_THROUGH waits for that log where it matters.
func SyncDir(string) error { return nil }

func renameNoReplace(oldpath, newpath string) error {
	return move(oldpath, newpath, windows.MOVEFILE_WRITE_THROUGH)
}

func rename(oldpath, newpath string) error {
	return move(oldpath, newpath, windows.MOVEFILE_WRITE_THROUGH|windows.MOVEFILE_REPLACE_EXISTING)
}

func move(oldpath, newpath string, flags uint32) error {
	from, err := windows.UTF16PtrFromString(oldpath)
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(newpath)
	if err != nil {
		return err
	}
	err = whileInUse(func() error { return windows.MoveFileEx(from, to, flags) })
	if err != nil {
		err = &os.LinkError{Op: "rename", Old: oldpath, New: newpath, Err: err}
	}
	return err
}

// whileInUse repeats op while another process uses the file: an open file cannot
// be renamed or replaced, and virus scanners, indexers and readers open new files
// for an instant; a file that is being renamed or removed cannot be opened.
func whileInUse(op func() error) error {
	for pause := time.Millisecond; ; pause *= 2 {
		err := op()
		inUse := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED)
		if !inUse || pause > inUseLimit {
			return err
		}
		time.Sleep(pause)
	}
}

// inUseLimit is about half of the time for which an operation is repeated.
const inUseLimit = 512 * time.Millisecond

func volumeOf(path string) (Volume, error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return Volume{}, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(p, &free, nil, nil); err != nil {
		return Volume{}, &os.PathError{Op: "free space", Path: path, Err: err}
	}
	var root [windows.MAX_PATH + 1]uint16
	id := strings.ToUpper(filepath.VolumeName(path))
	if err := windows.GetVolumePathName(p, &root[0], uint32(len(root))); err == nil {
		id = strings.ToUpper(windows.UTF16ToString(root[:]))
	}
	return Volume{ID: id, Free: int64(min(free, 1<<62))}, nil
}
