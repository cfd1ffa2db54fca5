package install

import (
	"io/fs"
	"unsafe"

	"golang.org/x/sys/windows"
)

// openToOthers returns false: who may write to a directory is in its access
// list, which it inherits from the directory above.
func openToOthers(fs.FileInfo) bool { return false }

// ofAnotherUser returns false, likewise.
func ofAnotherUser(fs.FileInfo) bool { return false }

// mkdirPrivate makes a directory for this user, administrators and the system
// alone. The list that it would inherit often lets every user make files, and a
// library that is beside a program may be loaded by it.
func mkdirPrivate(dir string) error {
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return err
	}
	list := "D:P" // nothing is inherited
	for _, who := range []string{"SY", "BA", user.User.Sid.String()} {
		list += "(A;OICI;FA;;;" + who + ")"
	}
	sd, err := windows.SecurityDescriptorFromString(list)
	if err != nil {
		return err
	}
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return err
	}
	sa := windows.SecurityAttributes{SecurityDescriptor: sd}
	sa.Length = uint32(unsafe.Sizeof(sa))
	if err := windows.CreateDirectory(path, &sa); err != nil {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	return nil
}
