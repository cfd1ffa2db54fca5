package owner

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// As calls run on a thread of its own that makes and changes no more files than o may, so
// that a link which that account puts in the way of a path leads to nothing that it
// could not do itself. It may read all that this process may: the files of a container
// can be in a directory that their owner cannot enter from here. run must do its work in
// its own goroutine. ours calls a function with the rights of this process. Where this
// process is not root, or o is root, nothing differs from calling run.
func (o Owner) As(run func(ours func(func() error) error) error) error {
	if os.Geteuid() != 0 || o.UID == 0 {
		return run(func(f func() error) error { return f() })
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := errors.New("it did not come to its end")
		defer func() { done <- err }()
		if err = o.become(); err != nil {
			return
		}
		err = run(func(f func() error) error {
			if err := filesAs(0, 0); err != nil {
				return err
			}
			err := f()
			return errors.Join(err, filesAs(o.UID, o.GID))
		})
	}()
	return <-done
}

// become gives the thread the rights of the account on files, with its own groups if they
// are known: a file may have been given another one, even that of root.
func (o *Owner) become() error {
	groups := []uint32{uint32(o.GID)} //nolint:gosec // a group's number
	if u, err := user.LookupId(strconv.Itoa(o.UID)); err == nil {
		if gid, err := strconv.Atoi(u.Gid); err == nil {
			o.GID, groups[0] = gid, uint32(gid) //nolint:gosec // the same
		}
		ids, _ := u.GroupIds()
		for _, id := range ids {
			if n, err := strconv.ParseUint(id, 10, 32); err == nil {
				groups = append(groups, uint32(n))
			}
		}
	}
	// Of this thread alone: package unix would set those of all threads.
	_, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0)
	if errno != 0 {
		return fmt.Errorf("take on the groups of account %d: %w", o.UID, errno)
	}
	return filesAs(o.UID, o.GID)
}

// filesAs sets whose rights the thread has on files.
func filesAs(uid, gid int) error {
	_, _ = unix.SetfsgidRetGid(gid)
	_, _ = unix.SetfsuidRetUid(uid)
	g, _ := unix.SetfsgidRetGid(-1) // sets nothing, and returns what holds
	u, _ := unix.SetfsuidRetUid(-1)
	if u != uid || g != gid {
		return fmt.Errorf("this process may not take on the rights of account %d on files", uid)
	}
	if uid == 0 {
		return nil // which brings all capabilities back
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&header, &have[0]); err != nil {
		return err
	}
	have[0].Effective |= have[0].Permitted & (1 << unix.CAP_DAC_READ_SEARCH)
	return unix.Capset(&header, &have[0])
}
