package durable

import (
	"os"
	"path/filepath"
	"strings"

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
	err = WhileInUse(func() error { return windows.MoveFileEx(from, to, flags) })
	if err != nil {
		err = &os.LinkError{Op: "rename", Old: oldpath, New: newpath, Err: err}
	}
	return err
}

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

const noFollow = 0

// writable finds a volume that is read-only. Access lists show only on writing.
func writable(dir string) error {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return err
	}
	var root [windows.MAX_PATH + 1]uint16
	var flags uint32
	err = windows.GetVolumePathName(p, &root[0], uint32(len(root)))
	if err == nil {
		err = windows.GetVolumeInformation(&root[0], nil, 0, nil, nil, &flags, nil, 0)
	}
	if err == nil && flags&windows.FILE_READ_ONLY_VOLUME != 0 {
		return windows.ERROR_WRITE_PROTECT
	}
	return nil // a share may have no such information
}
