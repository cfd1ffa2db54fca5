//go:build unix && !linux

package durable

func renameNoReplace(oldpath, newpath string) error { return renameChecked(oldpath, newpath) }
