package main

import (
	"os"

	"golang.org/x/sys/windows"
)

const utf8CodePage = 65001

// unicodeConsole lets the console of this process show UTF-8, which this program
// and those that it pipes into write, whatever its code page is: usually 866 or
// 1251. The returned function restores the code page. On the console itself Go
// writes UTF-16; the code page is for more, findstr and installers.
func unicodeConsole() (restore func()) {
	old, err := windows.GetConsoleOutputCP()
	if err != nil || old == utf8CodePage || windows.SetConsoleOutputCP(utf8CodePage) != nil {
		return func() {} // no console
	}
	return func() { _ = windows.SetConsoleOutputCP(old) }
}

// controlled lets a console understand control sequences, which Windows 10 and Windows Server 2016
// are the first to do. The returned function restores the console.
func controlled(console *os.File) (restore func(), ok bool) {
	h, old := windows.Handle(console.Fd()), uint32(0)
	if windows.GetConsoleMode(h, &old) != nil || windows.SetConsoleMode(h, old|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) != nil {
		return nil, false
	}
	return func() { _ = windows.SetConsoleMode(h, old) }, true
}
