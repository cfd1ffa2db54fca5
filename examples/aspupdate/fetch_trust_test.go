package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch/fetchtest"
)

// TestFetchTrustsOnlyWhatTheConfigNames fetches from a server with a self-signed
// certificate, with each setting for the certificate and for the files.
func TestFetchTrustsOnlyWhatTheConfigNames(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, &tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	server := fetchtest.New(t)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	long := time.Date(2019, 12, 18, 17, 0, 0, 0, time.UTC)
	server.Put("/АСП/7.12.100/Setup.exe", []byte("installer"), long)
	right := fmt.Sprintf("%x", sha256.Sum256([]byte("installer")))
	wrong := strings.Repeat("0", 64)
	pin := fmt.Sprintf("tls_certificate = '%X'", sha256.Sum256(der))

	for name, c := range map[string]struct {
		trust, vouch  string
		sidecar, file string
		code          int
		want          string
	}{
		"untrusted":           {"", "unauthenticated = 'a test'", "", "", exitServer, "pin the certificate once its owner has confirmed"},
		"another is pinned":   {"tls_certificate = '" + wrong + "'", "unauthenticated = 'a test'", "", "", exitServer, "not the pinned certificate"},
		"pinned":              {pin, "unauthenticated = 'a test'", "", "", exitDone, "vouched for: unauthenticated: a test\n"},
		"insecure":            {"tls_insecure = 'moved today'", "unauthenticated = 'a test'", "", "", exitDone, "INSECURE: the certificate of the server is not checked, because: moved today"},
		"sidecar agrees":      {pin, "unauthenticated = 'a test'", right, "", exitDone, "agrees with the SHA-256 beside it on the server"},
		"sidecar contradicts": {pin, "unauthenticated = 'a test'", wrong, "", exitUnvouched, "beside it on the server is " + wrong},
		"a file of hashes":    {pin, "sha256_file = 'SUMS'", wrong, right + "  АСП/7.12.100/Setup.exe", exitDone, "vouched for: SHA-256 pinned in sums.txt\n"},
		"another hash in it":  {pin, "sha256_file = 'SUMS'", right, wrong + "  АСП/7.12.100/Setup.exe", exitUnvouched, "has " + wrong},
		"not in it":           {pin, "sha256_file = 'SUMS'", right, right + "  АСП/7.12.200/Setup.exe", exitUnvouched, "no SHA-256 of АСП/7.12.100/Setup"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			sums := filepath.ToSlash(filepath.Join(dir, "sums.txt"))
			require.NoError(t, os.WriteFile(sums, []byte(c.file), 0o600))
			server.Remove("/АСП/7.12.100/Setup.exe.sha256")
			if c.sidecar != "" {
				server.Put("/АСП/7.12.100/Setup.exe.sha256", []byte(c.sidecar), long)
			}
			text := strings.NewReplacer(
				"address = '127.0.0.1:1'", fmt.Sprintf("address = '%s'\nsettle = '1ms'\ntls = 'explicit'\n%s", server.Addr, c.trust),
				"unauthenticated = 'a test'", strings.ReplaceAll(c.vouch, "SUMS", sums),
			).Replace(goodConfig(dir))
			path := filepath.Join(dir, "aspupdate.toml")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			code, out, errs := aspupdate(t, nil, "fetch", "--config", path)
			require.Equal(t, c.code, code, out+errs)
			require.Contains(t, out+errs, c.want)
		})
	}
}
