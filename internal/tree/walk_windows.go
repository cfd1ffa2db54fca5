package tree

import (
	"io/fs"

	"golang.org/x/sys/windows"
)

// noWait is not needed: a directory holds no pipes.
const noWait = 0

// set takes over what a handle says. A mounted volume and whatever else is
// resolved elsewhere is neither a file nor a directory here, as os.Lstat has it.
func (n *Node) set(fi fs.FileInfo) {
	n.Mode, n.Size, n.ModTime, n.blocks = fi.Mode(), fi.Size(), fi.ModTime(), -1
}

// count finds out whether the file has more than one name.
func (n *Node) count() error {
	var d windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(n.File.Fd()), &d); err != nil {
		return &fs.PathError{Op: "stat", Path: n.Path, Err: err}
	}
	n.id = id{uint64(d.VolumeSerialNumber), uint64(d.FileIndexHigh)<<32 | uint64(d.FileIndexLow)}
	n.links = uint64(d.NumberOfLinks)
	return nil
}

// ours does nothing: an open directory cannot be renamed, and who may enter
// a new one is inherited.
func ours(*Root) error { return nil }
