package install

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const maxAttribute = 64 << 10 // bytes of a value or of all names, as Linux limits them

// copyAttributes copies the extended attributes by which an administrator or the
// system marks a file: user.* and security.*, such as the signatures that a
// closed software environment requires of each program. What the target cannot
// hold, or this process may not write, is left out: then it is the system that
// refuses to run the copy. Labels of SELinux follow from the place of a file, and
// capabilities would give the copy rights.
func copyAttributes(to, from *os.File) error {
	names := make([]byte, maxAttribute)
	n, err := unix.Flistxattr(int(from.Fd()), names)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot list the extended attributes of %s: %w", from.Name(), err)
	}
	value := make([]byte, maxAttribute)
	for name := range strings.SplitSeq(string(names[:n]), "\x00") {
		if !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "security.") || name == "security.selinux" || name == "security.capability" {
			continue
		}
		n, err := unix.Fgetxattr(int(from.Fd()), name, value)
		if err == nil {
			err = unix.Fsetxattr(int(to.Fd()), name, value[:n], 0)
		}
		if err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("cannot copy the extended attribute %s of %s: %w", name, from.Name(), err)
		}
	}
	return nil
}
