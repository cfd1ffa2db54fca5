//go:build !linux

package site

// clockSynchronized is unknown on this system.
func clockSynchronized() (synchronized, known bool) { return false, false }
