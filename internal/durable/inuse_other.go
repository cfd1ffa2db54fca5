//go:build !windows

package durable

// WhileInUse calls op once: files in use can be renamed and removed here. On
// Windows it repeats op while another process uses the file.
func WhileInUse(op func() error) error { return op() }
