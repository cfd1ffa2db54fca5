//go:build !windows

package main

// unicodeConsole does nothing: a terminal that is not UTF-8 has its encoding in the
// locale, see encoder.
func unicodeConsole() (restore func()) { return func() {} }
