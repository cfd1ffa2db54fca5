//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
)

// renameChecked looks before it renames. Between the two another process
// could put something at newpath; the callers hold a lock of their own
// against their like.
func renameChecked(oldpath, newpath string) error {
	if _, err := os.Lstat(newpath); err == nil {
		return &os.LinkError{Op: "rename", Old: oldpath, New: newpath, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(oldpath, newpath)
}
