package realtest

import (
	"crypto/x509"
	"testing"
	"time"
)

// A Make is a program that serves FTP.
type Make string

// The makes. They differ where clients break: in listings, in replies when
// something is missing, in the TLS they require.
const (
	Vsftpd   Make = "vsftpd"
	ProFTPD  Make = "proftpd"
	PureFTPd Make = "pure-ftpd"
)

// Makes returns all of them.
func Makes() []Make { return []Make{Vsftpd, ProFTPD, PureFTPd} }

// More makes. Pyftpdlib and FTPSrv know explicit TLS, and none of them other options.
const (
	Inetutils Make = "inetutils-ftpd"
	Pyftpdlib Make = "pyftpdlib"
	FTPSrv    Make = "ftp-srv"
)

// MoreMakes returns those.
func MoreMakes() []Make { return []Make{Inetutils, Pyftpdlib, FTPSrv} }

// TLS is what a server requires. vsftpd and proftpd also require that data
// connections resume the TLS session of their control connection.
type TLS uint8

// The modes. pure-ftpd has no implicit one.
const (
	Plain TLS = iota
	Explicit
	Implicit
)

// Options are how a server differs from its make's defaults.
type Options struct {
	TLS       TLS
	MaxTLS    uint16 // the newest version to speak, such as tls.VersionTLS12; 0: the newest that it can
	Rate      int    // bytes a second that each download gets; 0: all it can
	ListLimit int    // pure-ftpd only: entries after which it cuts a listing; 0: its own 10,000
	Clients   int    // proftpd only: how many may be logged in at a time; 0: any number
	Digest    bool   // proftpd only: answers HASH, XSHA256 and their like
	Denied    string // proftpd only: commands that are refused to everybody, such as "SIZE MLSD"

	// How the server's clock differs, which shows in the times of its files as well.
	// vsftpd, proftpd and pyftpdlib only.
	Ahead time.Duration // by libfaketime; negative: it is slow
	East  time.Duration // its zone is ahead of UTC, and its listings are in it; whole hours
}

// A Server is one that a test may use until it ends.
type Server struct {
	Addr     string // host:port on loopback
	User     string
	Password string // any other is refused, with 530 by FTP

	// Certificate is the server's own, self-signed, for 127.0.0.1; Roots has
	// only this one. Both are nil without TLS.
	Certificate *x509.Certificate
	Roots       *x509.CertPool

	p interface {
		Kill()
		Stop()
		Continue()
		Restart()
	}
}

// FTP serves root, read only, by a real server on a free loopback port. It
// ends with the test, and so do its sessions.
//
// The server reads as an unprivileged user, so all below root must be readable
// for all users; FTP changes the permissions of root itself and of its parents
// below os.TempDir. Nothing else of the machine changes, except pure-ftpd's
// session files in /run/pure-ftpd.
func FTP(t testing.TB, m Make, root string, o Options) Server {
	t.Helper()
	return serve(t, m, root, o)
}

// VSFTPD is [FTP] by vsftpd without TLS.
func VSFTPD(t testing.TB, root string) Server {
	t.Helper()
	return FTP(t, Vsftpd, root, Options{})
}

// Kill ends the server and its sessions by SIGKILL and returns when they are
// gone. Kill, Stop and Continue may be called by any goroutine, one at a time.
func (s Server) Kill() { s.p.Kill() }

// Stop stops the server and its sessions by SIGSTOP: the kernel still accepts
// connections and bytes for them, without an answer.
func (s Server) Stop() { s.p.Stop() }

// Continue undoes Stop.
func (s Server) Continue() { s.p.Continue() }

// Restart starts the server again, on the same port, after Kill. Only the
// test's own goroutine may call it.
func (s Server) Restart() { s.p.Restart() }
