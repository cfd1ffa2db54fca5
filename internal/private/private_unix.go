//go:build unix

package private

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// judge decides by owner and mode. An access list shows in the mode: the group's
// bits are then its mask.
func judge(path string, fi fs.FileInfo, u use) (verdict, error) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return verdict{}, fmt.Errorf("%s has no owner", path)
	}
	if st.Uid != 0 && (u.system || int64(st.Uid) != int64(os.Geteuid())) {
		return verdict{why: fmt.Sprintf("%s belongs to %s", path, account(st.Uid)), next: "change its owner to root or to the account that runs this (chown)"}, nil
	}
	mode := fi.Mode()
	if mode&fs.ModeSymlink != 0 {
		return verdict{}, nil // its owner and its directory decide
	}
	if u.secret && mode.Perm()&0o077 != 0 && !credential(path, mode) {
		return verdict{why: fmt.Sprintf("the mode of %s is %04o, and others may read it", path, mode.Perm()), next: "chmod 600 " + path}, nil
	}
	sticky := mode.IsDir() && mode&fs.ModeSticky != 0 && !u.last
	if mode.Perm()&0o022 != 0 && !sticky && !u.closed {
		return verdict{why: fmt.Sprintf("the mode of %s is %04o", path, mode.Perm()), next: "chmod go-w " + path}, nil
	}
	return verdict{closed: mode.IsDir() && mode.Perm()&0o011 == 0}, nil
}

// credential reports whether systemd made the file for this unit. Depending on
// its version the group is root's and may read.
func credential(path string, mode fs.FileMode) bool {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" || mode.Perm()&0o037 != 0 {
		return false
	}
	in, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return false
	}
	there, err := os.Stat(dir)
	return err == nil && os.SameFile(in, there) && in.Mode().Perm()&0o027 == 0
}

// account returns the name of an account, or its number.
func account(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "account " + id
}

// Mkdir makes a directory that no other account can enter. It fails if path
// exists.
func Mkdir(path string) error { return os.Mkdir(path, 0o700) }
