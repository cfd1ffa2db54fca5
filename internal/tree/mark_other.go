//go:build !linux

package tree

func (*Root) mark(*Root) error { return nil }

// Claim does nothing: nothing is marked here.
func Claim(*Root, string, string) {}

// RemoveOurs is [Remove]: nothing is marked here.
func RemoveOurs(root *Root, name string) (bool, error) { return true, Remove(root, name) }
