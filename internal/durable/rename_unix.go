//go:build unix

package durable

import (
	"errors"
	"io/fs"
	"os"
)

// renameChecked fails if newpath exists. Between the check and the rename another
// process could create newpath; the callers have a lock against each other.
func renameChecked(oldpath, newpath string) error {
	if _, err := os.Lstat(newpath); err == nil {
		return &os.LinkError{Op: "rename", Old: oldpath, New: newpath, Err: fs.ErrExist}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Rename(oldpath, newpath)
}
