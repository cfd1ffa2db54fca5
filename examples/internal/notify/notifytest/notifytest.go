// Package notifytest has a mail server for tests.
package notifytest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"
)

// Behavior is how a server treats a connection.
type Behavior struct {
	NoTLS    bool   // offers no STARTTLS
	Implicit bool   // TLS from the first byte
	Password string // of the user "site"; "" for none
	Refuse   string // the answer to each recipient, such as "550 no such user"
	Silent   bool   // accepts connections, and says nothing
}

// A Server is an SMTP server on loopback that keeps what it is sent. Its methods may be called
// by any goroutine.
type Server struct {
	Addr string
	CA   string // PEM

	t        testing.TB
	cert     tls.Certificate
	listener net.Listener
	mu       sync.Mutex
	behave   Behavior
	mails    []string
	open     map[net.Conn]bool
}

// New starts a server that ends with the test.
func New(t testing.TB, b Behavior) *Server {
	t.Helper()
	s := &Server{t: t, behave: b, open: map[net.Conn]bool{}}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s.cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	s.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	s.listen("127.0.0.1:0")
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) listen(addr string) {
	var err error
	if s.listener, err = net.Listen("tcp", addr); err != nil {
		s.t.Fatal(err)
	}
	s.Addr = s.listener.Addr().String()
	l := s.listener
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open[conn] = true
			b := s.behave
			s.mu.Unlock()
			go s.serve(conn, b)
		}
	}()
}

// Behave changes how the server treats the connections that come from now on.
func (s *Server) Behave(b Behavior) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behave = b
}

// Stop stops the server.
func (s *Server) Stop() {
	_ = s.listener.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.open {
		_ = conn.Close()
	}
}

// Restart starts a stopped server at the same address.
func (s *Server) Restart() { s.listen(s.Addr) }

// Mails returns what the server was sent, the headers decoded.
func (s *Server) Mails() (list []*mail.Message, raw []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.mails {
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			s.t.Errorf("%v: %q", err, text)
			continue
		}
		list, raw = append(list, m), append(raw, text)
	}
	return list, raw
}

func (s *Server) serve(conn net.Conn, b Behavior) {
	defer func() { _ = conn.Close() }()
	if b.Silent {
		_, _ = conn.Read(make([]byte, 1))
		return
	}
	encrypted := b.Implicit
	if b.Implicit {
		conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{s.cert}})
	}
	r := bufio.NewReader(conn)
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220 a test")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb := strings.ToUpper(strings.SplitN(line, " ", 2)[0])
		switch verb {
		case "EHLO":
			say("250-a test")
			if !b.NoTLS && !encrypted {
				say("250-STARTTLS")
			}
			if b.Password != "" {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{s.cert}})
			r, encrypted = bufio.NewReader(conn), true
		case "AUTH":
			token := line[strings.LastIndex(line, " ")+1:]
			want := base64.StdEncoding.EncodeToString([]byte("\x00site\x00" + b.Password))
			if token != want || !encrypted {
				say("535 this is wrong: %s", token) // as a careless server does
				continue
			}
			say("235 welcome")
		case "RCPT":
			if b.Refuse != "" {
				say("%s", b.Refuse)
				continue
			}
			say("250 ok")
		case "DATA":
			say("354 go on")
			var text strings.Builder
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				text.WriteString(strings.TrimPrefix(line, "."))
			}
			s.mu.Lock()
			s.mails = append(s.mails, text.String())
			s.mu.Unlock()
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}
