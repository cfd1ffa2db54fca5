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
// the certificates in a PEM file, instead of the system's roots. The
// server's name and the certificate's dates are checked as usual. A
// self-signed certificate of the server itself is as good as a root.
//
// A file that also holds a private key is refused: the key belongs to the
// server alone.
func TrustCA(pemFile string) (*tls.Config, error) {
	data, err := os.ReadFile(pemFile)
	if err != nil {
		return nil, &fetch.Error{Op: "read certificates", Subject: pemFile, Err: err}
	}
	pool, err := parseRoots(data)
	if err != nil {
		return nil, &fetch.Error{Op: "read certificates", Subject: pemFile, Err: err}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

// parseRoots reads all of a PEM file or refuses it: a block that is damaged
// must not silently be one root less.
func parseRoots(data []byte) (*x509.CertPool, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // pem recognizes the start of lines only
	if bytes.Contains(data, []byte("PRIVATE KEY-----")) {
		return nil, errors.New("the file contains a private key: use a file with certificates alone")
	}
	want := bytes.Count(data, []byte("-----BEGIN "))
	pool := x509.NewCertPool()
	n := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		n++
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("block %d is a %s and not a certificate", n, names.Show(block.Type))
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", n, err)
		}
		pool.AddCert(cert)
	}
	switch {
	case want == 0:
		return nil, errors.New("no certificate in PEM format, which starts with -----BEGIN CERTIFICATE-----")
	case n != want:
		return nil, fmt.Errorf("the file is damaged: %d of %d blocks can be read", n, want)
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
// issuer do not count: the self-signed certificate of an in-house server is
// enough, and a renewed one needs a new fingerprint. The error for a server with
// another certificate has that one's fingerprint.
func TrustCertificate(fingerprint string) (*tls.Config, error) {
	pin, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(fingerprint), ":", ""))
	if err != nil || len(pin) != sha256.Size {
		return nil, &fetch.Error{Op: "trust certificate", Subject: fingerprint, Err: errors.New("not a SHA-256: write 64 hexadecimal digits")}
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

var errPin = errors.New("not the pinned certificate")

// TrustAnyCertificate returns a configuration for [Source.TLSConfig] that accepts
// any certificate: TLS then protects against eavesdropping, but not against another
// server in the place of the right one, which gets the password too. The reason
// is required, for people who read the code or the configuration later.
func TrustAnyCertificate(reason string) (*tls.Config, error) {
	if strings.TrimSpace(reason) == "" {
		return nil, &fetch.Error{Op: "trust any certificate", Err: errors.New("a reason is required")}
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		Time:               noTime,
		InsecureSkipVerify: true, //nolint:gosec // the caller asked for it, with a reason
		VerifyConnection:   func(tls.ConnectionState) error { return nil },
	}, nil
}

// noTime is the clock of configurations that ignore a certificate's dates: with a
// real one, the client would not resume the session of an expired certificate,
// and servers refuse data connections that resume none.
func noTime() time.Time { return time.Unix(0, 0) }

// checkTrust refuses a configuration that checks no certificate without
// being explicit, or that would not be used.
func (f *Source) checkTrust() error {
	c := f.TLSConfig
	switch {
	case c == nil:
		return nil
	case f.TLS == TLSNone:
		return &fetch.Error{Op: "connect", Subject: f.String(), Err: errors.New("TLSConfig is set, and TLS is not"),
			Next: "set TLS to TLSExplicit or TLSImplicit"}
	case c.InsecureSkipVerify && c.VerifyConnection == nil && c.VerifyPeerCertificate == nil:
		return &fetch.Error{Op: "connect", Subject: f.String(), Err: errors.New("TLSConfig checks no certificate"),
			Next: "use TrustCA or TrustCertificate, or TrustAnyCertificate with a reason"}
	}
	return nil
}

func fingerprintOf(cert *x509.Certificate) []byte {
	sum := sha256.Sum256(cert.Raw)
	return sum[:]
}

// explainCertificate adds what a person needs to decide about a certificate that
// was refused.
func (f *Source) explainCertificate(e *fetch.Error, err error) {
	e.Err = fmt.Errorf("%w: %w", fetch.ErrUnreachable, printable{err})
	wrong, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok && f.TLS == TLSExplicit { // some servers read the beginning of TLS as a command
		e.Temporary, e.Next = true, "the server agreed to TLS and then did not use it: try later, or ask its owner"
		return
	}
	if !ok {
		e.Next = "the server does not use TLS there: check the port and the TLS mode"
		return
	}
	e.Next = "check the server's name, trust its certificate's root, or pin the certificate"
	if len(wrong.UnverifiedCertificates) == 0 {
		return
	}
	seen := strings.ReplaceAll(fmt.Sprintf("% X", fingerprintOf(wrong.UnverifiedCertificates[0])), " ", ":")
	if errors.Is(err, errPin) {
		e.Next = "the server's certificate has SHA-256 " + seen + ": ask its owner whether it is new before you pin it"
		return
	}
	e.Next += " once its owner has confirmed its SHA-256 " + seen
}

// printable is an error with names from a certificate that is not trusted.
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
