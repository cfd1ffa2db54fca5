package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// OnEveryServer runs a test on each make of server.
func OnEveryServer(t *testing.T, test func(t *testing.T, m realtest.Make)) {
	t.Helper()
	SideBySide(t, realtest.Makes(), func(m realtest.Make) string { return string(m) }, test)
}

// SideBySide runs a test for each case, all at once and not only as many as
// there are processors, because these tests wait more than they work. It
// returns when all have ended.
func SideBySide[C any](t *testing.T, cases []C, name func(C) string, test func(t *testing.T, c C)) {
	t.Helper()
	var all sync.WaitGroup
	for _, c := range cases {
		all.Go(func() { t.Run(name(c), func(t *testing.T) { test(t, c) }) })
	}
	all.Wait()
}

// Real returns a client of a real server.
func Real(s realtest.Server, mode realtest.TLS) *ftp.Source {
	src := &ftp.Source{Addr: s.Addr, User: s.User, Password: s.Password, Timeout: 20 * time.Second, Retry: Soon}
	src.TLS = map[realtest.TLS]ftp.TLS{realtest.Explicit: ftp.TLSExplicit, realtest.Implicit: ftp.TLSImplicit}[mode]
	if src.TLS != ftp.TLSNone {
		src.TLSConfig = &tls.Config{RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
	}
	return src
}

// Put writes a file that a server's user can read.
func Put(t *testing.T, root, path string, data []byte) {
	t.Helper()
	full := filepath.Join(root, path)
	require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
	require.NoError(t, os.WriteFile(full, data, 0o644))
	require.NoError(t, os.Chtimes(full, Released, Released))
}

// Certificate returns one for 127.0.0.1, and the roots that know it.
func Certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	cert := Issue(t, func(*x509.Certificate) {})
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return cert, pool
}

// Issue returns a self-signed certificate for 127.0.0.1 with a change.
func Issue(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	change(tmpl)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Read reads a file from an offset on.
func Read(t *testing.T, src fetch.Source, name string, offset int64) string {
	t.Helper()
	r, err := src.Open(t.Context(), name, offset)
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	return string(b)
}
