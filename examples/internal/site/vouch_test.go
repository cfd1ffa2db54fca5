package site

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/archive"
	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/version"
)

func TestPublisherVouchesForASignedFile(t *testing.T) {
	sign := realtest.Program(t, "osslsigncode")
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{"Vendor"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate, certificate, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	in := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(in("cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(in("key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	require.NoError(t, os.WriteFile(in("main.go"), []byte("package main\n\nfunc main() {}\n"), 0o600))
	build := exec.Command("go", "build", "-o", in("plain.exe"), in("main.go"))
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	said, err := build.CombinedOutput()
	require.NoError(t, err, "%s", said)
	said, err = exec.Command(sign, "sign", "-certs", in("cert.pem"), "-key", in("key.pem"), "-h", "sha256",
		"-in", in("plain.exe"), "-out", in("signed.exe")).CombinedOutput()
	require.NoError(t, err, "%s", said)

	verdict := func(publisher, file string) (archive.Vouched, error) {
		path := in("config.toml")
		text := strings.Replace(goodConfig(dir), "unauthenticated = 'a test'", "[distribution.publisher]\n"+publisher, 1)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		c, err := Load(path)
		require.NoError(t, err)
		key := archive.Key{Distribution: "АСП", Version: version.MustParse("7.13.100"), Variant: version.Setup}
		return verifier(c.Distributions[0], nil).Verify(t.Context(), archive.Candidate{Key: key, Path: in(file)})
	}
	roots := "name = 'Vendor'\nroots = '" + filepath.ToSlash(in("cert.pem")) + "'"
	got, err := verdict(roots, "signed.exe")
	require.NoError(t, err)
	require.True(t, got.Authenticated)
	require.Contains(t, got.By, `signature by "Vendor"`)
	for _, c := range [][2]string{{roots, "plain.exe"}, {"name = 'Vendor'", "signed.exe"}, {"thumbprint = '" + strings.Repeat("0", 64) + "'", "signed.exe"}} {
		_, err = verdict(c[0], c[1])
		require.ErrorIs(t, err, archive.ErrMismatch, c)
	}
}
