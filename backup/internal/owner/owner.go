// Package owner records and restores the owner and the permissions of a file.
package owner

import (
	"io/fs"
	"os"
	"path/filepath"
)

// An Owner is what a restored file gets back, so that the program that it is
// for may still read it. On Windows owners are kept in access control lists,
// which a new file inherits from its directory, and UID and GID are 0.
type Owner struct {
	Mode fs.FileMode `json:"mode"`
	UID  int         `json:"uid"`
	GID  int         `json:"gid"`
}

// Of returns the owner of a file.
func Of(fi fs.FileInfo) Owner {
	o := Owner{Mode: fi.Mode().Perm()}
	o.UID, o.GID = ids(fi)
	return o
}

// Give makes path belong to o. Only root may give files to others; where the
// file belongs to o already the owner is not set.
func (o Owner) Give(path string) error {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	name := filepath.Base(path)
	if err := Chown(root, name, o.UID, o.GID); err != nil {
		return err
	}
	return root.Chmod(name, o.Mode.Perm())
}
