package main

import (
	"errors"
	"net"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

func init() { helpers["behind"] = behind }

// behind SOCKET PROGRAM ARGUMENTS... runs a program in a network namespace of this
// process alone, whose port 1080 is a socket of another namespace. It exits with the
// program's code.
func behind(args []string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:1080")
	if err != nil {
		return err
	}
	go serveEach(l, func(c net.Conn) {
		if to, err := net.Dial("unix", args[0]); err == nil {
			splice(c, to)
		}
	})
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(exit.ExitCode())
	}
	return err
}
