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

// A vendor signs files with a key of its own.
type vendor struct {
	dir, certificate, key, program string
}

func newVendor(t *testing.T) vendor {
	t.Helper()
	dir := t.TempDir()
	v := vendor{dir: dir, certificate: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), program: realtest.Program(t, "osslsigncode")}
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
	require.NoError(t, os.WriteFile(v.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(v.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return v
}

func (v vendor) run(t *testing.T, env []string, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = v.dir, append(os.Environ(), env...)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
}

// signed returns the path of a signed copy.
func (v vendor) signed(t *testing.T, path string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "signed"+filepath.Ext(path))
	v.run(t, nil, v.program, "sign", "-certs", v.certificate, "-key", v.key, "-h", "sha256", "-in", path, "-out", out)
	return out
}

// plain builds a program that states nothing about itself.
func (v vendor) plain(t *testing.T) string {
	t.Helper()
	source, out := filepath.Join(v.dir, "main.go"), filepath.Join(v.dir, "plain.exe")
	require.NoError(t, os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600))
	v.run(t, []string{"GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0"}, "go", "build", "-o", out, source)
	return out
}

// nsis builds an installer that states its version and its name.
func (v vendor) nsis(t *testing.T, version, name string) string {
	t.Helper()
	script, out := filepath.Join(v.dir, "setup.nsi"), filepath.Join(t.TempDir(), "built.exe")
	require.NoError(t, os.WriteFile(script, []byte(`Unicode true
Target amd64-unicode
Name ASP
OutFile "`+out+`"
VIProductVersion "`+version+`.0"
VIAddVersionKey /LANG=0 "ProductVersion" "`+version+`"
VIAddVersionKey /LANG=0 "OriginalFilename" "`+name+`"
Section
SectionEnd
`), 0o600))
	v.run(t, nil, realtest.Program(t, "makensis"), "-V2", script)
	return out
}

// msi builds a package; it states its version, and no variant.
func (v vendor) msi(t *testing.T, version string) string {
	t.Helper()
	source, err := filepath.Abs("../../../install/testdata/setup.wxs")
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "built.msi")
	require.NoError(t, os.WriteFile(filepath.Join(v.dir, "file"), []byte(version), 0o600))
	v.run(t, nil, realtest.Program(t, "wixl"), "-a", "x64", "-D", "Version="+version, "-D", "File=file", "-o", out, source)
	return out
}

// vouch returns what a configuration with the publisher's keys says about a file.
func (v vendor) vouch(t *testing.T, publisher, path, number string, variant version.Variant) (archive.Vouched, error) {
	t.Helper()
	config := filepath.Join(v.dir, "config.toml")
	text := strings.Replace(goodConfig(v.dir), "unauthenticated = 'a test'", "[distribution.publisher]\n"+publisher, 1)
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	c, err := Load(config)
	require.NoError(t, err)
	key := archive.Key{Distribution: "АСП", Version: version.MustParse(number), Variant: variant}
	return verifier(c.Distributions[0], nil).Verify(t.Context(), archive.Candidate{Key: key, Path: path})
}

func (v vendor) pin() string {
	return "name = 'Vendor'\nissuer = 'Vendor'\nroots = '" + filepath.ToSlash(v.certificate) + "'"
}

func TestPublisherVouchesForASignedFile(t *testing.T) {
	v := newVendor(t)
	plain := v.plain(t)
	signed := v.signed(t, plain)
	got, err := v.vouch(t, v.pin(), signed, "7.13.100", version.Setup)
	require.NoError(t, err)
	require.True(t, got.Authenticated)
	require.Contains(t, got.By, `signature by "Vendor"`)
	require.Contains(t, got.By, "the signature is not bound to a version")
	for _, c := range [][2]string{
		{v.pin(), plain},
		{"name = 'Vendor'", signed},
		{strings.Replace(v.pin(), "issuer = 'Vendor'", "issuer = 'Other'", 1), signed},
		{"thumbprint = '" + strings.Repeat("0", 64) + "'", signed},
	} {
		_, err = v.vouch(t, c[0], c[1], "7.13.100", version.Setup)
		require.ErrorIs(t, err, archive.ErrMismatch, c)
	}
}

// Whoever controls the server, or the way to it, has every old file that the
// vendor signed, and can offer it under the name of a new one.
func TestR3ASignatureVouchesOnlyForTheVersionAndVariantThatTheFileStates(t *testing.T) {
	v := newVendor(t)
	setup := v.signed(t, v.nsis(t, "7.13.100", "Setup.exe"))
	old := v.signed(t, v.nsis(t, "7.12.100", "Setup.exe"))
	full := v.signed(t, v.nsis(t, "7.13.100", "FullSetup.exe"))
	unnamed := v.signed(t, v.nsis(t, "7.13.100", "asp.exe"))
	pkg, oldPkg := v.signed(t, v.msi(t, "7.13.100")), v.signed(t, v.msi(t, "7.12.100"))
	for _, c := range []struct {
		name, path, number string
		variant            version.Variant
		says, refused      string
	}{
		{"the Setup", setup, "7.13.100", version.Setup, "bound to the version and variant", ""},
		{"the FullSetup", full, "7.13.100", version.FullSetup, "bound to the version and variant", ""},
		{"an old Setup", old, "7.13.100", version.Setup, "", "the signed file states version 7.12.100"},
		{"a new Setup as an old one", setup, "7.12.100", version.Setup, "", "the signed file states version 7.13.100"},
		{"a FullSetup renamed Setup", full, "7.13.100", version.Setup, "", "states that it is a FullSetup"},
		{"a Setup renamed FullSetup", setup, "7.13.100", version.FullSetup, "", "states that it is a Setup"},
		{"a program without a variant", unnamed, "7.13.100", version.Setup, "bound to the version that the file states, not to a variant", ""},
		{"a package", pkg, "7.13.100", version.Setup, "bound to the version that the file states, not to a variant", ""},
		{"an old package", oldPkg, "7.13.100", version.Setup, "", "the signed file states version 7.12.100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := v.vouch(t, v.pin(), c.path, c.number, c.variant)
			if c.refused != "" {
				require.ErrorIs(t, err, archive.ErrMismatch)
				require.ErrorContains(t, err, c.refused)
				return
			}
			require.NoError(t, err)
			require.True(t, got.Authenticated)
			require.Contains(t, got.By, c.says)
		})
	}
}

func TestStatedVersions(t *testing.T) {
	want := version.MustParse("9.03.100")
	for text, is := range map[string]bool{
		"9.03.100": true, "9.3.100.0": true, "9, 3, 100, 0": true, "9.3.100.1234": true, "v9.03.100": true,
		"9.03.101": false, "9.13.100": false, "9.03.100-beta": false, "19.03.100": false,
	} {
		n, ok := statedVersion(text)
		require.True(t, ok, text)
		require.Equal(t, is, n.are(want), text)
	}
	for _, text := range []string{"", "9.03", "0.0.0.0", "1999", "99999999999999999999.1.1"} {
		_, ok := statedVersion(text)
		require.False(t, ok, text)
	}
	require.True(t, func() bool {
		n, _ := statedVersion("9.03.100-beta.1")
		return n.are(version.MustParse("9.03.100-beta.1"))
	}())
}
