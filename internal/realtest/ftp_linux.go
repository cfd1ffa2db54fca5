package realtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The account for logging in. The servers have the hash of its password.
const (
	ftpUser     = "site"
	ftpPassword = "correct-horse-battery"
	ftpHash     = "$5$aspupdate$YftSIn7ipXpIPUSNlM6WuCe9AW2z0dg8mqcA/SaqgzC"
)

// A site has what a make's configuration is written from.
type site struct {
	t       testing.TB
	options Options
	root    string // what is served
	dir     string // for the server's own files
	port    int
	reader  *user.User // a user without rights, to read root as
}

// An instance is a server and its sessions.
type instance struct {
	site
	make Make
	addr string

	mu     sync.Mutex // orders signals and the end of the test
	cmd    *exec.Cmd
	exited chan struct{}
}

func serve(t testing.TB, m Make, root string, o Options) Server {
	t.Helper()
	if os.Geteuid() != 0 && m != nginx {
		Skip(t, "%s needs root, since it confines its users to a directory", m)
	}
	open(t, root)
	// Not t.TempDir, whose name may hold what means something to a server.
	dir, err := os.MkdirTemp("", "server-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := Server{User: ftpUser, Password: ftpPassword}
	i := &instance{site: site{t: t, options: o, root: root, dir: dir, reader: reader(t)}, make: m}
	if o.TLS != Plain {
		s.Certificate = i.writeCertificate()
		s.Roots = x509.NewCertPool()
		s.Roots.AddCert(s.Certificate)
	}
	if m == Vsftpd || m == Inetutils {
		s.User = "anonymous" // see the configuration
	}
	t.Cleanup(i.Kill)
	// A program that is no test may bind the port first: try again.
	for range 3 {
		i.port = FreePort(t)
		i.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(i.port))
		if err = i.start(); err == nil {
			s.Addr, s.p = i.addr, i
			return s
		}
	}
	t.Fatal(err)
	return s
}

// open makes root readable for all users, and its parents as far as they are the
// test's own: proftpd reads it as its user.
func open(t testing.TB, root string) {
	t.Helper()
	err := os.Chmod(root, 0o755)
	for dir := filepath.Dir(root); err == nil && strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		var fi os.FileInfo
		if fi, err = os.Stat(dir); err == nil && fi.Mode()&0o001 == 0 {
			err = os.Chmod(dir, fi.Mode()|0o011)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// start starts the server and returns once it answers.
func (i *instance) start() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	var cmd *exec.Cmd
	switch i.make {
	case Vsftpd:
		cmd = i.vsftpd()
	case ProFTPD:
		cmd = i.proftpd()
	case PureFTPd:
		cmd = i.pureFTPd()
	case Inetutils:
		cmd = i.inetutils()
	case Pyftpdlib:
		cmd = i.pyftpdlib()
	case FTPSrv:
		cmd = i.ftpSrv()
	case nginx:
		cmd = i.nginx()
	default:
		return fmt.Errorf("unknown make of server %q", i.make)
	}
	// A file, because sessions would keep a pipe open.
	logPath := filepath.Join(i.dir, "log")
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if i.options.MaxTLS != 0 {
		cmd.Env = append(cmd.Environ(), "OPENSSL_CONF="+i.opensslConf())
	}
	cmd.Env = append(cmd.Environ(), i.clock()...)
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	i.cmd, i.exited = cmd, exited
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		select {
		case <-exited:
			said, _ := os.ReadFile(logPath)
			i.cmd = nil
			return fmt.Errorf("%s ended at once: %s", i.make, said)
		default:
		}
		if i.answers() {
			return nil
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(logPath)
			killFamily(cmd.Process.Pid)
			i.cmd = nil
			return fmt.Errorf("%s does not answer: %s", i.make, said)
		}
	}
}

// answers reports whether the server greets, or with implicit TLS whether it
// listens.
func (i *instance) answers() bool {
	c, err := net.DialTimeout("tcp", i.addr, time.Second)
	if err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	if i.options.TLS == Implicit {
		return true
	}
	buf := make([]byte, 3)
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	n, err := c.Read(buf)
	return err == nil && string(buf[:n]) == "220"
}

func (i *instance) Kill() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cmd == nil {
		return
	}
	pid := i.cmd.Process.Pid
	killFamily(pid)
	<-i.exited
	i.cmd = nil
	if i.make == PureFTPd {
		forgetSessions()
	}
	if i.options.Ahead != 0 { // libfaketime's
		for _, name := range []string{"faketime_shm_", "sem.faketime_sem_"} {
			_ = os.Remove("/dev/shm/" + name + strconv.Itoa(pid))
		}
	}
}

// forgetSessions removes pure-ftpd's files of killed sessions.
func forgetSessions() {
	notes, _ := filepath.Glob("/run/pure-ftpd/client-*") // the pattern is good
	alive := living()
	for _, note := range notes {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(note), "client-"))
		if err == nil && !slices.ContainsFunc(alive, func(p process) bool { return p.pid == pid }) {
			_ = os.Remove(note)
		}
	}
}

func (i *instance) Stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cmd != nil {
		stopFamily(i.cmd.Process.Pid)
	}
}

func (i *instance) Continue() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.cmd != nil {
		continueFamily(i.cmd.Process.Pid)
	}
}

func (i *instance) Restart() {
	i.t.Helper()
	i.Kill()
	// A connection from nearby may have got the port in the meantime.
	var err error
	for range 3 {
		if err = i.start(); err == nil {
			return
		}
		time.Sleep(time.Second)
	}
	i.t.Fatal(err)
}

// write writes one of the server's own files and returns its path.
func (s site) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// writeCertificate makes cert.pem, key.pem, and both in one file.
func (s site) writeCertificate() *x509.Certificate {
	s.t.Helper()
	check := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "127.0.0.1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	check(err)
	cert, err := x509.ParseCertificate(der)
	check(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)
	certPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	s.write("cert.pem", certPEM)
	s.write("key.pem", keyPEM)
	s.write("both.pem", keyPEM+certPEM)
	return cert
}

// opensslConf limits the version of TLS: not every server has a setting for
// it, but all of them have OpenSSL, which reads this.
func (s site) opensslConf() string {
	name := map[uint16]string{tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}[s.options.MaxTLS]
	if name == "" {
		s.t.Fatalf("no such version of TLS: %x", s.options.MaxTLS)
	}
	return s.write("openssl.cnf", "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nMaxProtocol = "+name+"\n")
}

// reader returns an unprivileged user: a server must not be able to write, and
// some refuse to serve a directory that their user can write to.
func reader(t testing.TB) *user.User {
	t.Helper()
	for _, name := range []string{"ftp", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return u
		}
	}
	Skip(t, "an FTP server needs a user ftp or nobody")
	return nil
}
