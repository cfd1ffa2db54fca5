package main

import "golang.org/x/sys/windows"

// beNice lowers the priority of this process; what it starts inherits that.
func beNice() {
	_ = windows.SetPriorityClass(windows.CurrentProcess(), windows.IDLE_PRIORITY_CLASS)
}
