package site

import (
	"errors"
	"time"

	"golang.org/x/sys/windows"
)

// How long an operation is repeated, as the packages of the library do: a denied access may be one
// for good, or a file that is being removed or is open.
const (
	inUseTimeout  = 30 * time.Second
	deniedTimeout = 5 * time.Second
)

// whileInUse repeats op while another process uses the file, and returns its last error.
// On Windows a file that a virus scanner or a reader has open cannot be replaced or removed.
func whileInUse(op func() error) error {
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
