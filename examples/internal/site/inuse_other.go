//go:build !windows

package site

// whileInUse calls op once: here a file in use can be replaced and removed.
func whileInUse(op func() error) error { return op() }
