package authenticode

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// An identity is a certificate with its key, in PEM files for the programs.
type identity struct {
	cert *x509.Certificate
	key  crypto.Signer
	pem  string // path
	priv string // path
}

func (i identity) alone() []*x509.Certificate { return []*x509.Certificate{i.cert} }

// issue makes a certificate for an RSA key, by itself if issuer is nil.
func issue(t testing.TB, name string, issuer *identity, change func(*x509.Certificate)) identity {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	return issueFor(t, key, name, issuer, change)
}

func issueFor(t testing.TB, key crypto.Signer, name string, issuer *identity, change func(*x509.Certificate)) identity {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name, Organization: []string{"ООО " + name}},
		NotBefore:    time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
	}
	if issuer == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	}
	change(template)
	parent, by := template, key
	if issuer != nil {
		parent, by = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	dir := t.TempDir()
	id := identity{cert: cert, key: key, pem: filepath.Join(dir, "cert.pem"), priv: filepath.Join(dir, "key.pem")}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(id.pem, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(id.priv, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	return id
}

func root(*x509.Certificate) {}

func coder(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning} }

func ecKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

// A site is the keys that the tests sign with and the roots that they trust.
type site struct {
	root, leaf, timeRoot identity
	tsa                  string // URL of the time-stamp authority
	program              string // osslsigncode
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{program: realtest.Program(t, "osslsigncode")}
	s.root = issue(t, "Test Root", nil, root)
	s.leaf = issue(t, "Vendor", &s.root, coder)
	s.timeRoot = issue(t, "Time Root", nil, root)
	s.tsa = serveTime(t, s.timeRoot)
	return s
}

// serveTime runs openssl as an authority for time stamps (RFC 3161) and
// returns its URL.
func serveTime(t testing.TB, root identity) string {
	t.Helper()
	openssl := realtest.Program(t, "openssl")
	authority := issue(t, "Time Authority", &root, func(c *x509.Certificate) {
		// RFC 3161 requires this usage to be critical, which crypto/x509 does not write.
		usages, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
		require.NoError(t, err)
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usages}}
	})
	dir := t.TempDir()
	config := filepath.Join(dir, "tsa.cnf")
	require.NoError(t, os.WriteFile(config, []byte("[us]\nserial="+filepath.ToSlash(dir)+"/serial\n"+
		"crypto_device=builtin\nsigner_digest=sha256\ndefault_policy=1.2.3.4.1\ndigests=sha1,sha256,sha384,sha512\naccuracy=secs:1\n"+
		"ess_cert_id_chain=no\ness_cert_id_alg=sha256\n"), 0o600))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query := filepath.Join(dir, "query")
		body, _ := io.ReadAll(r.Body)
		_ = os.WriteFile(query, body, 0o600)
		cmd := exec.Command(openssl, "ts", "-reply", "-config", config, "-section", "us", "-queryfile", query,
			"-signer", authority.pem, "-inkey", authority.priv, "-chain", root.pem)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		reply, err := cmd.Output()
		if err != nil {
			t.Logf("openssl ts: %s", stderr.String())
			http.Error(w, "no time stamp", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		_, _ = w.Write(reply)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// sign returns the path of a signed copy.
func (s *site) sign(t testing.TB, by identity, path string, options ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "signed"+filepath.Ext(path))
	args := []string{"sign", "-certs", by.pem, "-key", by.priv, "-h", "sha256", "-in", path, "-out", out}
	said, err := exec.Command(s.program, append(args, options...)...).CombinedOutput()
	require.NoError(t, err, "%s", said)
	return out
}

// theirs is osslsigncode's verdict on a file at a time.
func (s *site) theirs(t testing.TB, path string, at time.Time) (bool, string) {
	t.Helper()
	said, err := exec.Command(s.program, "verify", "-CAfile", s.root.pem, "-TSA-CAfile", s.timeRoot.pem,
		"-time", strconv.FormatInt(at.Unix(), 10), "-in", path).CombinedOutput()
	if err != nil {
		require.IsType(t, &exec.ExitError{}, err)
	}
	return err == nil, string(said)
}

func (s *site) policy(at time.Time) Policy {
	return Policy{Publisher: "ООО Vendor", Roots: s.root.alone(), TimeRoots: s.timeRoot.alone(), now: func() time.Time { return at }}
}
