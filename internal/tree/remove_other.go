//go:build !linux

package tree

import (
	"errors"
	"io/fs"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// Remove removes the file or the directory name of root, and all that is in
// it. It follows no link, and no mounted volume. A name that does not exist is
// no error.
func Remove(root *Root, name string) error {
	err := durable.WhileInUse(func() error { return root.RemoveAll(name) })
	if errors.Is(err, fs.ErrPermission) { // read-only files
		_ = fs.WalkDir(root.FS(), name, func(p string, e fs.DirEntry, err error) error {
			if err == nil && (e.IsDir() || e.Type().IsRegular()) {
				_ = root.Chmod(p, 0o700) // about to be removed
			}
			return nil
		})
		err = durable.WhileInUse(func() error { return root.RemoveAll(name) })
	}
	return err
}
