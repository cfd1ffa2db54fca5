//go:build !windows

package main

import "os"

// unicodeConsole does nothing: a terminal that is not UTF-8 has its encoding in the
// locale, see encoder.
func unicodeConsole() (restore func()) { return func() {} }

// controlled does nothing: a terminal understands control sequences.
func controlled(*os.File) (restore func(), ok bool) { return func() {}, true }
