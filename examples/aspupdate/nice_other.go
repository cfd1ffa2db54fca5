//go:build !linux && !windows

package main

// beNice does nothing here.
func beNice() {}
