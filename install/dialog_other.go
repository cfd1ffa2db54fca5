//go:build !windows

package install

import "github.com/aspupdate/aspupdate/internal/process"

// windowsOf returns nil: windows that wait for an answer are known on Windows alone.
func windowsOf(*process.Tree) []string { return nil }
