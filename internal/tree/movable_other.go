//go:build !linux

package tree

import (
	"io/fs"
)

// Movable fails if name of root is a mounted volume or another place that is
// resolved elsewhere. A name that does not exist is no error.
func Movable(root *Root, name string) error {
	fi, err := root.Lstat(name)
	if err == nil && fi.Mode()&fs.ModeIrregular != 0 {
		return &fs.PathError{Op: "rename", Path: name, Err: fs.ErrInvalid}
	}
	return nil // an error is reported when the name is opened
}

// Fixed returns nil: only Linux marks files in this way.
func (n *Node) Fixed() error { return nil }
