// Package owner records and restores the owner and the permissions of a file.
package owner

import (
	"io/fs"
	"os"

	"github.com/aspupdate/aspupdate/internal/tree"
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

// Give makes the open file belong to o. Only root may give files to others;
// where the file belongs to o already the owner is not set. A manifest can be
// forged: it never sets more than permissions, such as a set-id bit.
func (o Owner) Give(f *os.File) error { return tree.Give(f, o.UID, o.GID, o.Mode.Perm()) }
