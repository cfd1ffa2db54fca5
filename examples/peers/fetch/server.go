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

// A server is a vsftpd on a loopback port of its own, read only, that lets in
// anonymous users, until stop.
type server struct {
	addr   string
	cmd    *exec.Cmd
	exited chan struct{}
	out    bytes.Buffer
}

// missing says what keeps the comparison from being run here, or "".
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
		return "vsftpd locks its users into a folder, which takes root"
	}
	if _, err := nobody(); err != nil {
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

// nobody is a user without rights: vsftpd refuses to serve a folder that its
// user can write to.
func nobody() (string, error) {
	for _, name := range []string{"ftp", "nobody"} {
		if _, err := user.Lookup(name); err == nil {
			return name, nil
		}
	}
	return "", errors.New("vsftpd needs a user ftp or nobody")
}

// serve starts vsftpd on root; its own files go into dir. With secure it wants
// explicit TLS, and data connections that resume the control connection's
// session.
func serve(root, dir string, secure bool) (*server, error) {
	program, err := vsftpd()
	if err != nil {
		return nil, err
	}
	reader, err := nobody()
	if err != nil {
		return nil, err
	}
	empty := filepath.Join(dir, "empty") // vsftpd's unprivileged half lives here
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

// stop ends the server; its sessions end with their connections.
func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

// await returns once the server answers.
func (s *server) await() error {
	const patience, pause = 10 * time.Second, 20 * time.Millisecond
	for began := time.Now(); time.Since(began) < patience; time.Sleep(pause) {
		select {
		case <-s.exited:
			return fmt.Errorf("vsftpd ended at once: %s", s.out.String())
		default:
		}
		if c, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			_ = c.Close()
			return nil
		}
	}
	return errors.New("vsftpd does not answer")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// writeCertificate makes a certificate that signs itself, with its key.
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
