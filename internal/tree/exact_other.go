//go:build !linux

package tree

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// OpenExact opens the directory at an absolute path without links. It fails
// if a part of the path has become a link.
func OpenExact(dir string) (*Root, error) {
	if real, err := filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	} else if real != dir {
		return nil, fmt.Errorf("%s has become a link to %s", dir, real)
	}
	return openRoot(dir)
}

// openRoot opens the directory at path. Links in it are followed.
func openRoot(dir string) (*Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Root{root, dir}, nil
}

// enter opens the directory name.
func (r *Root) enter(name string) (*Root, error) {
	root, err := r.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return &Root{root, filepath.Join(r.path, name)}, nil
}

// Rename renames a name of one open directory as one of another, durably. If
// there is such a name, nothing changes and the error wraps [fs.ErrExist].
func Rename(from *Root, name string, to *Root, newname string) error {
	return durable.Publish(filepath.Join(from.Name(), name), filepath.Join(to.Name(), newname))
}

// Sync makes the names in an open directory durable.
func Sync(root *Root) error { return durable.SyncDir(root.Name()) }

// SyncDir does nothing: see [durable.SyncDir] on Windows.
func SyncDir(*os.File) error { return nil }

// Sync does nothing: only a handle that may write can be flushed
// here, and it was flushed when it was written.
func (n *Node) Sync() error { return nil }
