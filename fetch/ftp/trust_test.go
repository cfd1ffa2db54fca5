package ftp_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
)

// fingerprint is as openssl prints it.
func fingerprint(cert tls.Certificate) string {
	hash := strings.ToUpper(lab.Sum(cert.Certificate[0]))
	var pairs []string
	for i := 0; i < len(hash); i += 2 {
		pairs = append(pairs, hash[i:i+2])
	}
	return strings.Join(pairs, ":")
}

// pemFile writes certificates to a file.
func pemFile(t testing.TB, certs ...tls.Certificate) string {
	t.Helper()
	var b []byte
	for _, c := range certs {
		b = append(b, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})...)
	}
	return lab.WriteTemp(t, "ca.pem", b)
}

// secured starts a server with one release and a certificate.
func secured(t *testing.T, mode ftp.TLS, config *tls.Config) (*fetchtest.Server, *ftp.Source) {
	t.Helper()
	s := fetchtest.New(t)
	s.TLS, s.Implicit = config, mode == ftp.TLSImplicit
	s.Put(lab.SetupPath, []byte("installer"), lab.Released)
	src := lab.Client(s)
	src.TLS = mode
	return s, src
}

func TestTrust(t *testing.T) {
	good, other := lab.Issue(t, func(*x509.Certificate) {}), lab.Issue(t, func(*x509.Certificate) {})
	expired := lab.Issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	elsewhere := lab.Issue(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"ftp.example.org"} })
	ca := func(certs ...tls.Certificate) *tls.Config {
		c, err := ftp.TrustCA(pemFile(t, certs...))
		require.NoError(t, err)
		return c
	}
	pin := func(text string) *tls.Config {
		c, err := ftp.TrustCertificate(text)
		require.NoError(t, err)
		return c
	}
	anyone, err := ftp.TrustAnyCertificate("a test")
	require.NoError(t, err)
	pinned := fingerprint(other)
	cases := []struct {
		name   string
		has    tls.Certificate
		trusts *tls.Config
		text   string // of the error; empty: none
	}{
		{"right CA", good, ca(good), ""},
		{"right CA among others", good, ca(other, expired, good), ""},
		{"wrong CA", good, ca(other), "unknown authority"},
		{"right pin", good, pin(fingerprint(good)), ""},
		{"right pin, written otherwise", good, pin(" " + lab.Sum(good.Certificate[0]) + "\n"), ""},
		{"wrong pin", good, pin(pinned), "not the pinned certificate"},
		{"expired, CA", expired, ca(expired), "expired"},
		{"expired, pin", expired, pin(fingerprint(expired)), ""},
		{"hostname, CA", elsewhere, ca(elsewhere), "127.0.0.1"},
		{"hostname, pin", elsewhere, pin(fingerprint(elsewhere)), ""},
		{"any", expired, anyone, ""},
		{"nothing said", good, nil, "unknown authority"},
	}
	for mode, name := range map[ftp.TLS]string{ftp.TLSExplicit: "explicit", ftp.TLSImplicit: "implicit"} {
		for _, most := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for _, c := range cases {
				t.Run(fmt.Sprintf("%s %s %s", name, tls.VersionName(most), c.name), func(t *testing.T) {
					s, src := secured(t, mode, &tls.Config{Certificates: []tls.Certificate{c.has}, MaxVersion: most})
					src.TLSConfig = c.trusts
					retries := 0
					src.Observe = func(fetch.Event) { retries++ }
					_, err := src.List(t.Context(), "/asp")
					if c.text == "" {
						require.NoError(t, err)
						require.Equal(t, 1, s.Resumed())
						return
					}
					require.ErrorIs(t, err, fetch.ErrUnreachable)
					require.ErrorContains(t, err, c.text)
					require.ErrorContains(t, err, fingerprint(c.has), "a person can compare it")
					require.Zero(t, retries)
					e, _ := errors.AsType[*fetch.Error](err)
					require.False(t, e.Temporary)
					for _, said := range s.Commands() {
						require.Equal(t, "AUTH TLS", said, "there is no login at the wrong server")
					}
				})
			}
		}
	}
}

// TestTrustOnDataConnections checks each connection of one session: a data
// connection resumes, and is checked all the same.
func TestTrustOnDataConnections(t *testing.T) {
	good, other := lab.Issue(t, func(*x509.Certificate) {}), lab.Issue(t, func(*x509.Certificate) {})
	for _, most := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(most), func(t *testing.T) {
			_, src := secured(t, ftp.TLSExplicit, &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: most})
			pin, err := ftp.TrustCertificate(fingerprint(good))
			require.NoError(t, err)
			var resumed []bool
			src.TLSConfig = pin.Clone()
			src.TLSConfig.VerifyConnection = func(cs tls.ConnectionState) error {
				resumed = append(resumed, cs.DidResume)
				return pin.VerifyConnection(cs)
			}
			_, err = src.List(t.Context(), "/asp")
			require.NoError(t, err)
			require.Equal(t, []bool{false, true}, resumed)
		})
		t.Run(tls.VersionName(most)+" and another server's data", func(t *testing.T) {
			var mu sync.Mutex
			hellos := 0
			_, src := secured(t, ftp.TLSExplicit, &tls.Config{
				MaxVersion: most, SessionTicketsDisabled: true,
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
					mu.Lock()
					defer mu.Unlock()
					if hellos++; hellos%2 == 0 {
						return &other, nil
					}
					return &good, nil
				},
			})
			var err error
			src.TLSConfig, err = ftp.TrustCertificate(fingerprint(good))
			require.NoError(t, err)
			_, err = src.List(t.Context(), "/asp")
			require.ErrorContains(t, err, "not the pinned certificate")
			e, _ := errors.AsType[*fetch.Error](err)
			require.False(t, e.Temporary)
			r, err := src.Open(t.Context(), lab.SetupPath, 0)
			require.NoError(t, err)
			n, err := r.Read(make([]byte, 100))
			require.Zero(t, n)
			require.ErrorContains(t, err, "not the pinned certificate")
			require.Error(t, r.Close())
		})
	}
}

// TestTLSSideBySide shows that connections of the same FTP share no session:
// servers refuse the data connections of one that does.
func TestTLSSideBySide(t *testing.T) {
	named := lab.Issue(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"ftp.example.org"} })
	numbered := lab.Issue(t, func(*x509.Certificate) {})
	for name, c := range map[string]struct {
		cert       tls.Certificate
		serverName string
	}{"IP address": {numbered, ""}, "name by the caller": {named, "ftp.example.org"}} {
		for _, most := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+" "+tls.VersionName(most), func(t *testing.T) {
				s, src := secured(t, ftp.TLSExplicit, &tls.Config{Certificates: []tls.Certificate{c.cert}, MaxVersion: most})
				var err error
				src.TLSConfig, err = ftp.TrustCA(pemFile(t, c.cert))
				require.NoError(t, err)
				src.TLSConfig.ServerName = c.serverName
				src.TLSConfig.ClientSessionCache = tls.NewLRUClientSessionCache(1) // shared, and so not used
				const workers, each = 4, 5
				errs := make([]error, workers)
				var all sync.WaitGroup
				for i := range workers {
					all.Go(func() {
						for range each {
							_, err := src.List(t.Context(), "/asp")
							errs[i] = errors.Join(errs[i], err)
						}
					})
				}
				all.Wait()
				require.NoError(t, errors.Join(errs...))
				require.Equal(t, workers*each, s.Resumed())
			})
		}
	}
}

func TestInsecurityIsExplicit(t *testing.T) {
	cert, _ := lab.Certificate(t)
	for name, c := range map[string]struct {
		mode   ftp.TLS
		config *tls.Config
		text   string
	}{
		"nothing checked":       {ftp.TLSExplicit, &tls.Config{InsecureSkipVerify: true}, "checks no certificate; use TrustCA"},
		"nothing checked, 990":  {ftp.TLSImplicit, &tls.Config{InsecureSkipVerify: true}, "checks no certificate; use TrustCA"},
		"checked, but in clear": {ftp.TLSNone, &tls.Config{}, "TLSConfig is set, and TLS is not"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer func() { _ = l.Close() }()
			src := &ftp.Source{Addr: l.Addr().String(), TLS: c.mode, TLSConfig: c.config, Retry: lab.Soon}
			_, lerr := src.List(t.Context(), "/")
			_, herr := src.Hash(t.Context(), lab.SetupPath)
			for _, err := range []error{lerr, herr} {
				require.ErrorContains(t, err, c.text)
				e, ok := errors.AsType[*fetch.Error](err)
				require.True(t, ok)
				require.Equal(t, "connect", e.Op)
				require.False(t, e.Temporary)
			}
			require.NoError(t, l.(*net.TCPListener).SetDeadline(time.Now()))
			_, err = l.Accept()
			require.Error(t, err, "no client connected")
		})
	}
	s, src := secured(t, ftp.TLSExplicit, &tls.Config{Certificates: []tls.Certificate{cert}})
	src.TLSConfig = &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: func([][]byte, [][]*x509.Certificate) error { return nil }}
	_, err := src.List(t.Context(), "/asp")
	require.NoError(t, err, "that is a name of the caller's own")
	require.Equal(t, 1, s.Resumed())
}

func TestOldTLSIsNotSpoken(t *testing.T) {
	cert, pool := lab.Certificate(t)
	_, src := secured(t, ftp.TLSExplicit, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	src.TLSConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10}
	_, err := src.List(t.Context(), "/asp")
	require.ErrorContains(t, err, "protocol version")
}

func TestTLSAtAServerInTheClear(t *testing.T) {
	s := fetchtest.New(t)
	src := lab.Client(s)
	src.TLS = ftp.TLSImplicit
	_, err := src.List(t.Context(), "/")
	require.ErrorContains(t, err, "does not use TLS there: check the port and the TLS mode")
}

func TestServerThatAgreesToTLSAndDoesNotUseIt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_, _ = io.WriteString(c, "220 ready\r\n")
			r := bufio.NewReader(c)
			_, _ = r.ReadString('\n')
			_, _ = io.WriteString(c, "234 go on\r\n")
			_, _ = r.ReadByte() // the beginning of TLS
			_, _ = io.WriteString(c, "502 command not allowed\r\n")
		}
	}()
	src := &ftp.Source{Addr: l.Addr().String(), TLS: ftp.TLSExplicit, Retry: lab.Soon, TLSConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
	_, err = src.List(t.Context(), "/")
	failed, ok := errors.AsType[*fetch.Error](err)
	require.True(t, ok, err)
	require.True(t, failed.Temporary)
	require.Equal(t, "the server agreed to TLS and then did not use it: try later, or ask its owner", failed.Next)
}

// TestCertificateOfAnotherServer has a name that would draw on a terminal.
func TestCertificateOfAnotherServer(t *testing.T) {
	evil := lab.Issue(t, func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames = nil, []string{"\x1b[2J\nok.example.org", strings.Repeat("long.", 10_000) + "example.org"}
	})
	pool := x509.NewCertPool()
	pool.AddCert(evil.Leaf)
	_, src := secured(t, ftp.TLSExplicit, &tls.Config{Certificates: []tls.Certificate{evil}})
	src.TLSConfig = &tls.Config{RootCAs: pool, ServerName: "ftp.example.org"}
	_, err := src.List(t.Context(), "/asp")
	require.ErrorContains(t, err, "ok.example.org")
	_, named := errors.AsType[x509.HostnameError](err)
	require.True(t, named)
	require.Less(t, len(err.Error()), 1000)
	require.NotContains(t, err.Error(), "\x1b")
	require.NotContains(t, err.Error(), "\n")
}

func TestTrustCAFile(t *testing.T) {
	cert := lab.Issue(t, func(*x509.Certificate) {})
	der, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	root, err := os.ReadFile(pemFile(t, cert))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		data []byte
		text string // of the error; empty: none
	}{
		"from Windows":       {append([]byte("\ufeff"), bytes.ReplaceAll(root, []byte("\n"), []byte("\r\n"))...), ""},
		"with words around":  {[]byte("issued by us\n" + string(root) + "the end\n"), ""},
		"empty":              {nil, "no certificate in PEM form"},
		"DER":                {cert.Certificate[0], "no certificate in PEM form"},
		"a key too":          {append(key, root...), "contains a private key"},
		"a torn key":         {append(root, key[:len(key)/2]...), "contains a private key"},
		"the second is torn": {append(root[:len(root):len(root)], root[:len(root)/2]...), "1 of 2 blocks"},
		"another block":      {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")}), "block 1 is a CERTIFICATE REQUEST"},
		"nonsense inside":    {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "certificate 1 cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			file := lab.WriteTemp(t, "ca.pem", c.data)
			config, err := ftp.TrustCA(file)
			if c.text == "" {
				require.NoError(t, err)
				require.False(t, config.InsecureSkipVerify)
				return
			}
			require.ErrorContains(t, err, c.text)
			require.ErrorContains(t, err, file)
			for line := range bytes.Lines(key) {
				if line = bytes.TrimSpace(line); !bytes.HasPrefix(line, []byte("-")) {
					require.NotContains(t, err.Error(), string(line))
				}
			}
		})
	}
	_, err = ftp.TrustCA(filepath.Join(t.TempDir(), "none.pem"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestTrustingAnyCertificateNeedsAReason(t *testing.T) {
	for _, bad := range []string{"", "AB:CD", strings.Repeat("0", 40), strings.Repeat("0", 63) + "x", strings.Repeat("00", 33)} {
		_, err := ftp.TrustCertificate(bad)
		require.ErrorContains(t, err, "write 64 hexadecimal digits", bad)
	}
	_, err := ftp.TrustAnyCertificate(" \t")
	require.ErrorContains(t, err, "reason")
}
