package authenticode

import (
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

// A Policy says whose signature is wanted and what makes it count. Publisher
// or Thumbprint must be given; if both are, both must fit. It may be used
// from several goroutines.
type Policy struct {
	// Publisher is the organization (O) or the common name (CN) exactly as in
	// the signer's certificate. That it is the vendor's is the word of the
	// roots: companies of one name exist, so give the vendor's own root or
	// its authority's rather than all that a system trusts.
	Publisher string
	// Thumbprint is the SHA-256 of the signer's certificate in 64 hexadecimal
	// digits. That certificate is then trusted by itself, whoever issued it;
	// it must still be meant for signing code and its time must not be over.
	Thumbprint string
	// Roots are whom to trust for signers and time stamps; nil means the
	// system's. On Linux those are for web servers, and the roots of many
	// authorities for code are not among them.
	Roots *x509.CertPool
	// TimeRoots are whom to trust for time stamps, if that is somebody else
	// than Roots: a vendor with a root of its own buys its time stamps.
	TimeRoots *x509.CertPool
	// Now is the time at which certificates must be valid where there is no
	// trusted time stamp; nil means the clock's.
	Now func() time.Time
}

// A Format is a kind of file that can carry a signature.
type Format string

// The formats that are read.
const (
	PE  Format = "PE"  // programs and libraries: .exe, .dll
	MSI Format = "MSI" // packages for Windows Installer
)

// A Signature is one that satisfied a [Policy].
type Signature struct {
	Format      Format
	Certificate *x509.Certificate // the signer's
	Stamped     time.Time         // when an authority saw the signature; zero without a trusted time stamp
}

// Thumbprint returns the SHA-256 of the signer's certificate, as a [Policy]
// takes it.
func (s Signature) Thumbprint() string { return thumbprint(s.Certificate) }

// Publisher returns the organization in the signer's certificate, and if it
// names none the common name.
func (s Signature) Publisher() string {
	if o := s.Certificate.Subject.Organization; len(o) > 0 {
		return o[0]
	}
	return s.Certificate.Subject.CommonName
}

// String is for the record: who signed, with which certificate, and when.
func (s Signature) String() string {
	text := fmt.Sprintf("Authenticode signature by %q, certificate %s", s.Publisher(), s.Thumbprint())
	if !s.Stamped.IsZero() {
		text += ", stamped " + s.Stamped.UTC().Format(time.RFC3339)
	}
	return text
}

func thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Check reports whether the policy is complete, so that a mistake in a
// configuration shows before anything is fetched.
func (p Policy) Check() error {
	if p.Publisher == "" && p.Thumbprint == "" {
		return errors.New("authenticode: anybody can buy a signature: say whose is wanted by Publisher or Thumbprint")
	}
	if b, err := hex.DecodeString(p.Thumbprint); p.Thumbprint != "" && (err != nil || len(b) != sha256.Size) {
		return fmt.Errorf("authenticode: thumbprint %q is not a SHA-256: write 64 hexadecimal digits", p.Thumbprint)
	}
	return nil
}

// LoadRoots reads certificates in PEM from a file, for Policy's Roots and
// TimeRoots.
func LoadRoots(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("authenticode: roots: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("authenticode: roots: %s has no certificate in PEM", path)
	}
	return roots, nil
}

// VerifyFile verifies the file at path, as [Policy.Verify] does.
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
		return Signature{}, fmt.Errorf("authenticode: %s is not a file: name the program or package in it", path)
	}
	s, err := p.Verify(ctx, f, info.Size())
	if e, ok := errors.AsType[*Error](err); ok {
		e.Path = path
	}
	return s, err
}

// Verify reads size bytes of r and returns the signature that satisfies the
// policy. A refusal is an [Error]; any other error means that it could not
// decide. Where a program carries several signatures one is enough, because
// each is over all of the program.
func (p Policy) Verify(ctx context.Context, r io.ReaderAt, size int64) (Signature, error) {
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
	oid := map[Format]asn1.ObjectIdentifier{PE: oidPE, MSI: oidMSI}[format]
	var first error
	for _, sd := range all {
		s, err := p.one(ctx, sd, oid, digest)
		if err == nil {
			s.Format = format
			return s, nil
		}
		if _, refused := errors.AsType[*Error](err); !refused {
			return Signature{}, err
		}
		if first == nil {
			first = err
		}
	}
	return Signature{}, first
}

func (p Policy) one(ctx context.Context, sd *pkcs7.ContentInfoSignedData, format asn1.ObjectIdentifier, digest digester) (Signature, error) {
	sig, err := check(ctx, sd, format, digest)
	if err != nil {
		return Signature{}, err
	}
	s := Signature{Certificate: sig.Certificate}
	if err := p.wanted(s); err != nil {
		return Signature{}, err
	}
	s.Stamped = p.stamped(sig)
	return s, p.trusted(sig, s.Stamped)
}

// wanted compares the signer with the one who is pinned.
func (p Policy) wanted(s Signature) error {
	subject := s.Certificate.Subject
	if p.Thumbprint != "" && !strings.EqualFold(p.Thumbprint, s.Thumbprint()) {
		return refuse(ErrOtherPublisher, "certificate %s of %q signed it, not %s", s.Thumbprint(), s.Publisher(), strings.ToLower(p.Thumbprint))
	}
	if p.Publisher != "" && p.Publisher != subject.CommonName && !slices.Contains(subject.Organization, p.Publisher) {
		return refuse(ErrOtherPublisher, "%q signed it, not %q", s.Publisher(), p.Publisher)
	}
	return nil
}

// oidLifetime marks a certificate whose signatures end with it, time stamp or not.
var oidLifetime = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 10, 3, 13}

// stamped returns the time that an authority vouches for. A time stamp by
// somebody unknown is as good as none: who can add it can also leave it out.
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

// trusted builds the chain of the signer's certificate, as of the time stamp
// and without one as of now.
func (p Policy) trusted(sig pkcs9.TimestampedSignature, stamped time.Time) error {
	roots, leaf := p.Roots, sig.Certificate
	if p.Thumbprint != "" { // wanted has compared it
		roots = x509.NewCertPool()
		roots.AddCert(leaf)
	}
	chain := func(at time.Time) error {
		return sig.Signature.VerifyChain(roots, nil, x509.ExtKeyUsageCodeSigning, at)
	}
	at := stamped
	if at.IsZero() {
		at = time.Now()
		if p.Now != nil {
			at = p.Now()
		}
	}
	err := chain(at)
	if err == nil {
		return nil
	}
	if at.Before(leaf.NotBefore) || at.After(leaf.NotAfter) {
		if chain(leaf.NotAfter) == nil || chain(leaf.NotBefore) == nil { // is time all that is wrong?
			when := "no time stamp, and now"
			switch cs := sig.CounterSignature; {
			case !stamped.IsZero():
				when = "the time stamp"
			case cs != nil:
				when = fmt.Sprintf("the time stamp by %q does not count (is its root in Policy.TimeRoots?), and now", cs.Certificate.Subject.CommonName)
			}
			return refuse(ErrExpired, "valid from %s to %s; %s is %s",
				leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339), when, at.UTC().Format(time.RFC3339))
		}
	}
	return refuse(ErrUntrusted, "%v", err)
}
