package durable

import (
	"errors"
	"time"

	"golang.org/x/sys/windows"
)

// How long an operation is repeated. A virus scanner holds a large new file for
// seconds. A denied access may be one for good, a file that is being removed, or
// one that is open and would be replaced.
const (
	inUseTimeout  = 30 * time.Second
	deniedTimeout = 5 * time.Second
)

// WhileInUse repeats op while another process uses the file, for some tens of
// seconds at most, and returns its last error. On Windows an open file cannot be
// renamed, replaced or removed; virus scanners, indexers and readers open new
// files for an instant; and a file that is being renamed or removed cannot be
// opened. On other systems it calls op once.
func WhileInUse(op func() error) error {
	begin := time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		err := op()
		timeout := time.Duration(0)
		switch {
		case errors.Is(err, windows.ERROR_SHARING_VIOLATION), errors.Is(err, windows.ERROR_LOCK_VIOLATION),
			errors.Is(err, windows.ERROR_USER_MAPPED_FILE), errors.Is(err, windows.ERROR_DELETE_PENDING):
			timeout = inUseTimeout
		case errors.Is(err, windows.ERROR_ACCESS_DENIED):
			timeout = deniedTimeout
		}
		if time.Since(begin)+pause > timeout {
			return err
		}
		time.Sleep(pause)
	}
}
