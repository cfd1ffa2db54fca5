package ftp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/ftp"
	"github.com/aspupdate/aspupdate/fetch/internal/lab"
	"github.com/aspupdate/aspupdate/version"
)

// inHouse starts an FTP server with a certificate that it signed itself, and
// returns the certificate's SHA-256.
func inHouse() (*fetchtest.Server, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	dates := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &dates, &dates, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	s := lab.Vendor()
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.Put("/asp/7.12.200/Setup.exe", []byte("installer"), time.Date(2019, 12, 18, 17, 0, 0, 0, time.UTC))
	return s, fmt.Sprintf("%X", sha256.Sum256(der))
}

// A server with a self-signed certificate is known by its fingerprint, which its
// owner gives by telephone.
func ExampleTrustCertificate() {
	server, fingerprint := inHouse()
	defer server.Close()

	pinned, err := ftp.TrustCertificate(fingerprint)
	if err != nil {
		panic(err)
	}
	src := &ftp.Source{Addr: server.Addr, TLS: ftp.TLSExplicit, TLSConfig: pinned}
	rel, err := fetch.Finder{}.Latest(context.Background(), src, "asp", version.Setup)
	fmt.Println(rel, err)
	// Output: /asp/7.12.200 <nil>
}
