//go:build unix

package command

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

func ownerOf(path string) (*owner, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	o := &owner{Mode: fi.Mode().Perm(), UID: os.Getuid(), GID: os.Getgid()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		o.UID, o.GID = int(st.Uid), int(st.Gid)
	}
	return o, nil
}

// give makes path what the live file was. Only root may give files away;
// where it is ours already nothing is asked for.
func (o *owner) give(path string) error {
	now, err := ownerOf(path)
	if err != nil {
		return err
	}
	if now.UID != o.UID || now.GID != o.GID {
		if err := os.Lchown(path, o.UID, o.GID); err != nil {
			return fmt.Errorf("owner %d:%d cannot be given back, run as root or as that user: %w", o.UID, o.GID, err)
		}
	}
	return os.Chmod(path, o.Mode&fs.ModePerm)
}
