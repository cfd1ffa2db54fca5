//go:build linux

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"
)

// A server is a read-only vsftpd on its own loopback port, for anonymous users.
type server struct {
	addr   string
	cmd    *exec.Cmd
	exited chan struct{}
	out    bytes.Buffer
}

// missing returns why the comparison cannot run here, or "".
func missing() string {
	var absent []string
	if _, err := vsftpd(); err != nil {
		absent = append(absent, "vsftpd")
	}
	for _, name := range peers {
		if _, err := exec.LookPath(name); err != nil {
			absent = append(absent, name)
		}
	}
	if len(absent) > 0 {
		return "not installed: " + strings.Join(absent, ", ")
	}
	if os.Geteuid() != 0 {
		return "root is required: vsftpd uses chroot"
	}
	if _, err := unprivilegedUser(); err != nil {
		return err.Error()
	}
	return ""
}

func vsftpd() (string, error) {
	if path, err := exec.LookPath("vsftpd"); err == nil {
		return path, nil
	}
	return exec.LookPath("/usr/sbin/vsftpd")
}

// unprivilegedUser returns a user without write access to the files: vsftpd
// refuses to serve a directory that its user can write to.
func unprivilegedUser() (string, error) {
	for _, name := range []string{"ftp", "nobody"} {
		if _, err := user.Lookup(name); err == nil {
			return name, nil
		}
	}
	return "", errors.New("vsftpd needs a user named ftp or nobody")
}

// serve starts vsftpd for the files in root, with its own files in dir. With
// secure it requires explicit TLS, and data connections that resume the session
// of the control connection.
func serve(root, dir string, secure bool) (*server, error) {
	program, err := vsftpd()
	if err != nil {
		return nil, err
	}
	reader, err := unprivilegedUser()
	if err != nil {
		return nil, err
	}
	empty := filepath.Join(dir, "empty") // for vsftpd's unprivileged process
	if err := os.MkdirAll(empty, 0o555); err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	lines := []string{
		"background=NO", "listen=YES", "listen_address=127.0.0.1", fmt.Sprintf("listen_port=%d", port),
		"pasv_address=127.0.0.1", "port_enable=NO",
		"anonymous_enable=YES", "no_anon_password=YES", "local_enable=NO", "write_enable=NO",
		"anon_root=" + root, "anon_world_readable_only=NO", "ftp_username=" + reader, "secure_chroot_dir=" + empty,
		"utf8_filesystem=YES", "xferlog_enable=NO",
		// Containers forbid what these do.
		"seccomp_sandbox=NO", "isolate=NO", "isolate_network=NO",
	}
	if secure {
		pair := filepath.Join(dir, "pair.pem")
		if err := writeCertificate(pair); err != nil {
			return nil, err
		}
		lines = append(lines, "ssl_enable=YES", "allow_anon_ssl=YES", "force_anon_logins_ssl=YES", "force_anon_data_ssl=YES",
			"require_ssl_reuse=YES", "ssl_ciphers=HIGH", "rsa_cert_file="+pair, "rsa_private_key_file="+pair)
	}
	config := filepath.Join(dir, "vsftpd.conf")
	if err := os.WriteFile(config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	s := &server{addr: fmt.Sprintf("127.0.0.1:%d", port), cmd: exec.Command(program, config), exited: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = &s.out, &s.out
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = s.cmd.Wait(); close(s.exited) }()
	if err := s.await(); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// stop ends the server. Its sessions end with their connections.
func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// await waits until the server answers.
func (s *server) await() error {
	const deadline, interval = 10 * time.Second, 20 * time.Millisecond
	for began := time.Now(); time.Since(began) < deadline; time.Sleep(interval) {
		select {
		case <-s.exited:
			return fmt.Errorf("vsftpd exited: %s", s.out.String())
		default:
		}
		if c, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			_ = c.Close()
			return nil
		}
	}
	return fmt.Errorf("vsftpd did not answer within %s", deadline)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// writeCertificate writes a self-signed certificate with its key.
func writeCertificate(name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "comparison"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	return os.WriteFile(name, text, 0o600)
}
