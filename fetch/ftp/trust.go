package ftp

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
)

// TrustCA returns a configuration for [Source.TLSConfig] that trusts exactly
// the certificates in a PEM file, and the system's roots no more. The
// server's name and the certificate's dates are checked as usual. A
// self-signed certificate of the server itself is as good as a root.
//
// A file that also holds a private key is refused: the key belongs to the
// server alone.
func TrustCA(pemFile string) (*tls.Config, error) {
	data, err := os.ReadFile(pemFile)
	if err != nil {
		return nil, &fetch.Error{Op: "read certificates", Name: pemFile, Err: err}
	}
	pool, err := parseRoots(data)
	if err != nil {
		return nil, &fetch.Error{Op: "read certificates", Name: pemFile, Err: err}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

// parseRoots reads all of a PEM file or refuses it: a block that is damaged
// must not be a root less without a word.
func parseRoots(data []byte) (*x509.CertPool, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // pem looks at the start of lines only
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return nil, errors.New("it holds a private key: give a file with certificates alone")
	}
	want := bytes.Count(data, []byte("-----BEGIN "))
	pool := x509.NewCertPool()
	n := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		n++
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("its block %d is no certificate: %s", n, names.Show(block.Type))
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("its certificate %d cannot be read: %w", n, err)
		}
		pool.AddCert(cert)
	}
	switch {
	case want == 0:
		return nil, errors.New("it holds no certificate in PEM form, which starts with -----BEGIN CERTIFICATE-----")
	case n != want:
		return nil, fmt.Errorf("it is damaged: %d of %d blocks can be read", n, want)
	}
	return pool, nil
}

// TrustCertificate returns a configuration for [Source.TLSConfig] that trusts
// the one certificate with this SHA-256 and nothing else: 64 hexadecimal
// digits of either case, with colons between them or without, as in
//
//	openssl x509 -in server.pem -noout -fingerprint -sha256
//
// The server proves that it has the certificate's key. Its name, dates and
// issuer do not count, so that the self-signed certificate of an in-house
// server will do, and a renewed one will not. A server with another
// certificate is told apart by an error that has its fingerprint.
func TrustCertificate(fingerprint string) (*tls.Config, error) {
	pin, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(fingerprint), ":", ""))
	if err != nil || len(pin) != sha256.Size {
		return nil, &fetch.Error{Op: "trust certificate", Name: fingerprint, Err: errors.New("it is not a SHA-256: write 64 hexadecimal digits")}
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		Time:               noTime,
		InsecureSkipVerify: true, //nolint:gosec // VerifyConnection below takes its place, on resumed sessions too
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) > 0 && bytes.Equal(pin, fingerprintOf(cs.PeerCertificates[0])) {
				return nil
			}
			return &tls.CertificateVerificationError{UnverifiedCertificates: cs.PeerCertificates, Err: errPin}
		},
	}, nil
}

var errPin = errors.New("it is not the pinned one")

// TrustAnyCertificate returns a configuration for [Source.TLSConfig] that takes
// whatever certificate a server has: TLS then keeps out who listens, and not
// who answers in the server's place, who gets the password too. The reason
// is required, for whoever reads the code or the configuration later.
func TrustAnyCertificate(reason string) (*tls.Config, error) {
	if strings.TrimSpace(reason) == "" {
		return nil, &fetch.Error{Op: "trust any certificate", Err: errors.New("it needs a reason")}
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		Time:               noTime,
		InsecureSkipVerify: true, //nolint:gosec // by name, and for a reason
		VerifyConnection:   func(tls.ConnectionState) error { return nil },
	}, nil
}

// noTime is for those to whom a certificate's dates do not count: with a
// clock, the client would not resume the session of an expired one, and
// servers refuse data connections that resume none.
func noTime() time.Time { return time.Unix(0, 0) }

// checkTrust refuses a configuration that checks no certificate without
// saying so, or that would not be used.
func (f *Source) checkTrust() error {
	c := f.TLSConfig
	switch {
	case c == nil:
		return nil
	case f.TLS == TLSNone:
		return &fetch.Error{Op: "connect", Name: f.String(), Err: errors.New("TLSConfig is set, and TLS is not"),
			Hint: "set TLS to TLSExplicit or TLSImplicit"}
	case c.InsecureSkipVerify && c.VerifyConnection == nil && c.VerifyPeerCertificate == nil:
		return &fetch.Error{Op: "connect", Name: f.String(), Err: errors.New("TLSConfig checks no certificate"),
			Hint: "use TrustCA or TrustCertificate, or TrustAnyCertificate with a reason"}
	}
	return nil
}

func fingerprintOf(cert *x509.Certificate) []byte {
	sum := sha256.Sum256(cert.Raw)
	return sum[:]
}

// explainCertificate fills in what a person needs to decide about a
// certificate that was refused.
func explainCertificate(e *fetch.Error, err error) {
	e.Err = printable{err}
	wrong, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok {
		e.Hint = "the server does not speak TLS there: check the port and the TLS mode"
		return
	}
	e.Hint = "check the server's name, trust its certificate's root, or pin the certificate"
	if len(wrong.UnverifiedCertificates) == 0 {
		return
	}
	seen := strings.ReplaceAll(fmt.Sprintf("% X", fingerprintOf(wrong.UnverifiedCertificates[0])), " ", ":")
	if errors.Is(err, errPin) {
		e.Hint = "the server's has SHA-256 " + seen + ": ask its owner whether it is a new one before you pin that"
		return
	}
	e.Hint += " once its owner confirmed its SHA-256 " + seen
}

// printable is an error that speaks of names in a certificate of nobody
// knows whom.
type printable struct{ error }

func (p printable) Error() string {
	const limit = 400
	text := p.error.Error()
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text[:min(len(text), limit)])
}

func (p printable) Unwrap() error { return p.error }
