//go:build unix

package tree

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/aspupdate/aspupdate/internal/private"
)

// Alone reports whether the file has one name.
func Alone(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 1
}

// Safe returns the directory nearest to dir in which what this account makes can be
// neither replaced nor renamed by others: dir or one above it, see [private.Check].
// It is on dir's volume unless all of that is another account's; see [SameVolume].
//
// For an account that is not root there may be no such directory in which it
// can write. Then Safe returns dir, where such an account has no more to lose
// than its own files.
func Safe(dir string) (string, error) {
	for d := dir; sameVolume(d, dir) || os.Geteuid() == 0; d = filepath.Dir(d) {
		if private.Check(filepath.Join(d, "aspupdate-new")) == nil && writable(d) {
			return d, nil
		}
		if d == filepath.Dir(d) {
			break
		}
	}
	if os.Geteuid() != 0 {
		return dir, nil
	}
	return "", fmt.Errorf("other accounts can replace what is made in %s, and there is no directory above it in which they cannot", dir)
}

// SameVolume reports whether a file of one directory can be renamed into the other.
func SameVolume(a, b string) bool { return sameVolume(a, b) }

// errShared is that of a new directory which has another owner or other permissions
// than it was made with.
func errShared(mode fs.FileMode) error {
	return fmt.Errorf("it has another owner, or the permissions %v instead of %v: another account has replaced it, or its file system keeps no owners and permissions "+
		"(such as exFAT or a Windows share, which must be mounted with this account's uid and without access for others)", mode.Perm(), fs.FileMode(0o700))
}
