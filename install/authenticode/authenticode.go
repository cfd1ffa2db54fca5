package authenticode

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"
)

// A Policy names the expected signer and what is trusted. Publisher or
// Thumbprint is required; if both are set, both must match. It is safe for
// concurrent use.
type Policy struct {
	// Publisher is the organization (O) or the common name (CN) exactly as in
	// the signer's certificate. The roots vouch for the name, and companies of
	// the same name exist: use the vendor's own root or its authority's rather
	// than all that a system trusts.
	Publisher string
	// Thumbprint is the SHA-256 of the signer's certificate in 64 hexadecimal
	// digits. That certificate is then trusted without a root; it must still be
	// meant for signing code and be valid.
	Thumbprint string
	// Roots are trusted for signers and time stamps; nil means the system's. On
	// Linux those are for web servers, and lack the roots of many authorities
	// for code.
	Roots *x509.CertPool
	// TimeRoots are trusted for time stamps instead of Roots, if not nil: a vendor
	// with a root of its own uses the time stamps of another authority.
	TimeRoots *x509.CertPool

	now func() time.Time // for tests; nil is time.Now
}

// A Signature is one that satisfied a [Policy].
type Signature struct {
	format      asn1.ObjectIdentifier // oidPE or oidMSI
	certificate *x509.Certificate     // the signer's
	stamped     time.Time             // when an authority saw the signature; zero without a trusted time stamp
}

// publisher returns the organization in the signer's certificate, or the common
// name if it has none.
func (s Signature) publisher() string {
	if o := s.certificate.Subject.Organization; len(o) > 0 {
		return o[0]
	}
	return s.certificate.Subject.CommonName
}

// String returns who signed, with which certificate, and when.
func (s Signature) String() string {
	text := fmt.Sprintf("Authenticode signature by %q, certificate %s", s.publisher(), thumbprint(s.certificate))
	if !s.stamped.IsZero() {
		text += ", stamped " + s.stamped.UTC().Format(time.RFC3339)
	}
	return text
}

// thumbprint returns the SHA-256 of a certificate in the form of a [Policy].
func thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Check returns an error if the policy is incomplete, so that a mistake in a
// configuration is found before anything is fetched.
func (p Policy) Check() error {
	if p.Publisher == "" && p.Thumbprint == "" {
		return errors.New("the policy has no signer: set Publisher or Thumbprint")
	}
	if b, err := hex.DecodeString(p.Thumbprint); p.Thumbprint != "" && (err != nil || len(b) != sha256.Size) {
		return fmt.Errorf("invalid thumbprint %q: write 64 hexadecimal digits of SHA-256", p.Thumbprint)
	}
	return nil
}

// LoadRoots reads certificates in PEM from the file at path, for the Roots and
// TimeRoots of a [Policy].
func LoadRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load roots: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load roots: %s has no certificate in PEM", path)
	}
	return roots, nil
}

// VerifyFile reads the file at path and returns the signature that satisfies the
// policy. It returns an [*Error] if the file is refused, and any other error if
// it could not be verified. Of several signatures in a program one is enough,
// because each covers the whole program.
func (p Policy) VerifyFile(ctx context.Context, path string) (Signature, error) {
	f, err := os.Open(path)
	if err != nil {
		return Signature{}, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return Signature{}, err
	}
	if !info.Mode().IsRegular() {
		return Signature{}, fmt.Errorf("%s is not a regular file: use the program or package in it", path)
	}
	s, err := p.verify(ctx, f, info.Size())
	if e, ok := errors.AsType[*Error](err); ok {
		e.Subject = path
	}
	return s, err
}

// verify is VerifyFile for size bytes of r.
func (p Policy) verify(ctx context.Context, r io.ReaderAt, size int64) (Signature, error) {
	if err := p.Check(); err != nil {
		return Signature{}, err
	}
	format, digest, der, err := formatOf(ctx, &reader{r, size})
	if err != nil {
		return Signature{}, err
	}
	all, err := unpack(der)
	if err != nil {
		return Signature{}, err
	}
	var first error
	for _, sd := range all {
		s, err := p.one(ctx, sd, format, digest)
		if _, refused := errors.AsType[*Error](err); !refused {
			return s, err
		}
		first = cmp.Or(first, err)
	}
	return Signature{}, first
}

func (p Policy) one(ctx context.Context, sd *pkcs7.ContentInfoSignedData, format asn1.ObjectIdentifier, digest digester) (Signature, error) {
	sig, err := check(ctx, sd, format, digest)
	if err != nil {
		return Signature{}, err
	}
	s := Signature{format: format, certificate: sig.Certificate, stamped: p.stamped(sig)}
	if err := p.matches(s); err != nil {
		return Signature{}, err
	}
	if err := p.trusted(sig, s.stamped); err != nil {
		return Signature{}, err
	}
	return s, nil
}

// matches returns an error if the signer is not the expected one.
func (p Policy) matches(s Signature) error {
	subject, thumb := s.certificate.Subject, thumbprint(s.certificate)
	if p.Thumbprint != "" && !strings.EqualFold(p.Thumbprint, thumb) {
		return refuse(ErrOtherPublisher, "the signer is certificate %s of %q, not %s", thumb, s.publisher(), strings.ToLower(p.Thumbprint))
	}
	if p.Publisher != "" && p.Publisher != subject.CommonName && !slices.Contains(subject.Organization, p.Publisher) {
		return refuse(ErrOtherPublisher, "the signer is %q, not %q", s.publisher(), p.Publisher)
	}
	return nil
}

// oidLifetime marks a certificate whose signatures expire with it even if they
// have a time stamp.
var oidLifetime = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 10, 3, 13}

// stamped returns the time in a trusted time stamp, or zero. One by an unknown
// authority is ignored: an attacker who can add it can also remove it.
func (p Policy) stamped(sig pkcs9.TimestampedSignature) time.Time {
	cs := sig.CounterSignature
	if cs == nil || slices.ContainsFunc(sig.Certificate.UnknownExtKeyUsage, oidLifetime.Equal) {
		return time.Time{}
	}
	if _, err := strong(cs.SignerInfo.DigestAlgorithm); err != nil || cs.Hash.Size() < sha256.Size {
		return time.Time{}
	}
	roots := p.TimeRoots
	if roots == nil {
		roots = p.Roots
	}
	if err := cs.Signature.VerifyChain(roots, nil, x509.ExtKeyUsageTimeStamping, cs.SigningTime); err != nil {
		return time.Time{}
	}
	return cs.SigningTime
}

// trusted builds the chain of the signer's certificate, as of the time stamp, or
// as of now without one.
func (p Policy) trusted(sig pkcs9.TimestampedSignature, stamped time.Time) error {
	roots, leaf := p.Roots, sig.Certificate
	if p.Thumbprint != "" { // matches has compared it
		roots = x509.NewCertPool()
		roots.AddCert(leaf)
	}
	chain := func(at time.Time) error {
		return sig.Signature.VerifyChain(roots, nil, x509.ExtKeyUsageCodeSigning, at)
	}
	at := stamped
	switch {
	case !stamped.IsZero():
	case p.now != nil:
		at = p.now()
	default:
		at = time.Now()
	}
	err := chain(at)
	if err == nil {
		return nil
	}
	valid := !at.Before(leaf.NotBefore) && !at.After(leaf.NotAfter)
	if valid || chain(leaf.NotAfter) != nil && chain(leaf.NotBefore) != nil {
		return refuse(ErrUntrusted, "%v", err)
	}
	when := "no time stamp, and now"
	switch cs := sig.CounterSignature; {
	case !stamped.IsZero():
		when = "the time stamp"
	case cs != nil:
		when = fmt.Sprintf("the time stamp by %q is not trusted (is its root in Policy.TimeRoots?), and now", cs.Certificate.Subject.CommonName)
	}
	return refuse(ErrExpired, "valid from %s to %s; %s is %s",
		leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339), when, at.UTC().Format(time.RFC3339))
}
