package tree

import (
	"io/fs"
	"os"
)

// Give sets the permissions. Owners are kept in access control lists, which a
// new file inherits from its directory.
func Give(f *os.File, _, _ int, mode fs.FileMode) error { return f.Chmod(mode & rights) }

// GiveDir is [Give] for the directory name of root.
func GiveDir(root *os.Root, name string, _, _ int, mode fs.FileMode, _ map[string]string) error {
	return root.Chmod(name, mode&rights)
}

// GiveLink does nothing, see Give.
func GiveLink(*os.Root, string, int, int) error { return nil }
