package main

import (
	"io"
	"net"
	"os"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// behind CODE ARGUMENTS... is aspupdate in a network namespace of its own that has
// nothing but a SOCKS proxy, on port 1080.
func scriptBehind(ts *testscript.TestScript, _ bool, args []string) {
	socket := ts.MkAbs("proxy.socket")
	l, err := net.Listen("unix", socket)
	ts.Check(err)
	defer func() { _ = l.Close() }() // and removes it
	go serveEach(l, socks)
	self, err := os.Executable()
	ts.Check(err)
	scriptProgram(ts, args, "unshare", "-n", self, "behind", socket, program)
}

func serveEach(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = c.Close() }()
			serve(c)
		}()
	}
}

// socks serves one connection as a SOCKS proxy that asks for no password.
func socks(c net.Conn) {
	address, reply, _ := realtest.AcceptSOCKS(c, "", "")
	to, err := net.Dial("tcp", address)
	if reply(err == nil); err == nil {
		splice(c, to)
	}
}

// splice copies both ways until both have ended.
func splice(a, b net.Conn) {
	defer func() { _ = b.Close() }()
	ended := make(chan bool)
	copyTo := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		_ = to.(interface{ CloseWrite() error }).CloseWrite()
		ended <- true
	}
	go copyTo(b, a)
	go copyTo(a, b)
	<-ended
	<-ended
}
