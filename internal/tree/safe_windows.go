package tree

import "io/fs"

// Alone returns true: a new file has one name.
func Alone(fs.FileInfo) bool { return true }

// Safe returns dir. A directory that is open cannot be renamed here, and access
// control lists say who may enter it.
func Safe(dir string) (string, error) { return dir, nil }

// SameVolume returns true: Safe returns no other directory here.
func SameVolume(string, string) bool { return true }
