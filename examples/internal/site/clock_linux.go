package site

import "golang.org/x/sys/unix"

// clockSynchronized reports whether the kernel considers its clock synchronized,
// and whether that is known.
func clockSynchronized() (synchronized, known bool) {
	var t unix.Timex // without a mode nothing is set
	state, err := unix.Adjtimex(&t)
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, err == nil
}
