package fetch_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
)

// certificate returns one for 127.0.0.1, and the roots that know it.
func certificate(t testing.TB) (tls.Certificate, *x509.CertPool) {
	cert := issue(t, func(*x509.Certificate) {})
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return cert, pool
}

// issue returns a self-signed certificate for 127.0.0.1, changed as told.
func issue(t testing.TB, change func(*x509.Certificate)) tls.Certificate {
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

func TestFTPOverTLS(t *testing.T) {
	cert, pool := certificate(t)
	for name, c := range map[string]struct {
		mode fetch.TLS
		max  uint16
	}{
		"explicit 1.2": {fetch.TLSExplicit, tls.VersionTLS12},
		"explicit 1.3": {fetch.TLSExplicit, tls.VersionTLS13},
		"implicit 1.2": {fetch.TLSImplicit, tls.VersionTLS12},
		"implicit 1.3": {fetch.TLSImplicit, tls.VersionTLS13},
	} {
		t.Run(name, func(t *testing.T) {
			serve := func(t *testing.T) (*fetchtest.Server, fetch.FTP) {
				s := fetchtest.New(t)
				s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: c.max}
				s.Implicit = c.mode == fetch.TLSImplicit
				src := client(s)
				src.TLS, src.TLSConfig = c.mode, &tls.Config{RootCAs: pool}
				return s, src
			}
			fetchtest.TestSource(t, func(t *testing.T, files map[string][]byte) fetch.Source {
				s, src := serve(t)
				for path, data := range files {
					s.Put(path, data, released)
				}
				return src
			})
			s, src := serve(t)
			s.Put(setupPath, []byte("x"), released)
			_, err := src.List(t.Context(), "/asp")
			require.NoError(t, err)
			require.Equal(t, 1, s.Resumed(), "servers refuse data connections that do not resume the session")

			src.TLSConfig = nil
			_, err = src.List(t.Context(), "/asp")
			require.ErrorIs(t, err, fetch.ErrUnreachable)
			require.ErrorContains(t, err, "certificate")
		})
	}
}

func TestFTPServerWithoutTLS(t *testing.T) {
	s := fetchtest.New(t)
	src := client(s)
	src.TLS = fetch.TLSExplicit
	_, err := src.List(t.Context(), "/")
	require.ErrorIs(t, err, fetch.ErrUnreachable)
	require.ErrorContains(t, err, "does not offer this TLS mode")
	for _, c := range s.Commands() {
		require.NotContains(t, c, "USER", "nothing is said in the clear where TLS was asked for")
	}
}
