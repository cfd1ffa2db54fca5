//go:build !linux

package install

// groupPath is "": control groups are Linux's.
func groupPath(string) string { return "" }
