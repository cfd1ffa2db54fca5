package fetch_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
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
	s := vendor()
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.Put("/asp/7.12.200/Setup.exe", []byte("installer"), time.Date(2019, 12, 18, 17, 0, 0, 0, time.UTC))
	return s, fmt.Sprintf("%X", sha256.Sum256(der))
}

// A server whose certificate nobody signed is known by its fingerprint,
// which its owner tells by telephone.
func ExampleTrustCertificate() {
	server, fingerprint := inHouse()
	defer server.Close()

	pinned, err := fetch.TrustCertificate(fingerprint)
	if err != nil {
		panic(err)
	}
	src := fetch.FTP{Addr: server.Addr, TLS: fetch.TLSExplicit, TLSConfig: pinned}
	rel, err := fetch.Finder{}.Latest(context.Background(), src, "asp", version.Setup)
	fmt.Println(rel, err)
	// Output: /asp/7.12.200 <nil>
}

// The hashes of all releases are kept in one file, in the format of
// sha256sum.
func ExamplePinnedSums() {
	server := vendor("/asp/7.12.200/Setup.exe")
	defer server.Close()
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sums := filepath.Join(dir, "vendor.sha256")
	line := fmt.Sprintf("%x  asp/7.12.200/Setup.exe\n", sha256.Sum256([]byte("installer")))
	if err := os.WriteFile(sums, []byte(line), 0o600); err != nil {
		panic(err)
	}

	ctx := context.Background()
	src := fetch.FTP{Addr: server.Addr}
	rel, err := fetch.Finder{}.Latest(ctx, src, "asp", version.Setup)
	if err != nil {
		panic(err)
	}
	archive := fetch.Archive{Dir: filepath.Join(dir, "archive")}
	item, err := archive.Fetch(ctx, src, rel, version.Setup, fetch.PinnedSums(sums))
	if err != nil {
		panic(err)
	}
	fmt.Println(item.Vouched)
	// Output: SHA-256 pinned in vendor.sha256
}

// Where nobody vouches for a file, the server should at least not contradict
// itself.
func ExampleHinted() {
	server := vendor("/asp/7.12.200/Setup.exe")
	defer server.Close()
	other := sha256.Sum256([]byte("what was there before"))
	server.Put("/asp/7.12.200/Setup.exe.sha256", fmt.Appendf(nil, "%x  Setup.exe\n", other), time.Date(2019, 12, 18, 17, 0, 0, 0, time.UTC))
	dir, err := os.MkdirTemp("", "archive")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	ctx := context.Background()
	src := fetch.FTP{Addr: server.Addr}
	rel, err := fetch.Finder{}.Latest(ctx, src, "asp", version.Setup)
	if err != nil {
		panic(err)
	}
	verify := fetch.Hinted(src, fetch.Unauthenticated("no hash is published"))
	_, err = fetch.Archive{Dir: dir}.Fetch(ctx, src, rel, version.Setup, verify)
	fmt.Println(errors.Is(err, fetch.ErrMismatch))
	// Output: true
}
