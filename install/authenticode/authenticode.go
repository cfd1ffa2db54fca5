package authenticode

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A Policy names the expected signer and what is trusted. Publisher or
// Thumbprint is required; of Publisher, Issuer and Thumbprint, all that are set
// must match. It is safe for concurrent use.
type Policy struct {
	// Publisher is the organization (O) or the common name (CN) exactly as in
	// the signer's certificate. The roots vouch for the name, and companies of
	// the same name exist: name the Issuer as well, or use the vendor's own root
	// or its authority's rather than all that a system trusts.
	Publisher string
	// Issuer is the organization (O) or the common name (CN) of the authority
	// that issued the signer's certificate, exactly as in that certificate.
	// Together with Publisher it is the pin that lasts: authorities change the
	// certificates of a publisher often, some of them every three days.
	Issuer string
	// Thumbprint is the SHA-256 of the signer's certificate in 64 hexadecimal
	// digits. That certificate is then trusted without a root, but not the
	// certificates of authorities beside it; it must still be meant for signing
	// code and be valid. It is of no use for a publisher whose
	// next file has another certificate.
	Thumbprint string
	// Roots are trusted for signers and time stamps; nil means the system's. On
	// Linux those are for web servers, and lack the roots of many authorities
	// for code.
	Roots []*x509.Certificate
	// TimeRoots are trusted for time stamps instead of Roots, if not nil: a vendor
	// with a root of its own uses the time stamps of another authority.
	TimeRoots []*x509.Certificate

	now func() time.Time // for tests; nil is time.Now
}

// A Signature is one that satisfied a [Policy].
type Signature struct {
	format      asn1.ObjectIdentifier // oidPE or oidMSI
	certificate *x509.Certificate     // the signer's
	stamped     time.Time             // when an authority saw the signature; zero without a time stamp
	stated      stated
}

// A stated is what a signed file says about itself.
type stated struct {
	version string
	names   []string
}

// Stated returns the product's version that the signed file itself states, as it
// is written there, and the names that it gives itself. A signature vouches for
// no other version and no other name: an attacker who controls a server can offer
// any old file that the same publisher signed, under any name. A program states them
// in its version resource (ProductVersion, else FileVersion; ProductName,
// OriginalFilename, InternalName, FileDescription), a package as the properties
// ProductVersion and ProductName. The version is "" if the file states none.
func (s Signature) Stated() (version string, names []string) { return s.stated.version, s.stated.names }

// nameOf returns the organization in a name, or the common name if it has none.
func nameOf(n pkix.Name) string {
	if len(n.Organization) > 0 {
		return n.Organization[0]
	}
	return n.CommonName
}

// names reports whether text is the common name in n, or one of its organizations.
func names(text string, n pkix.Name) bool {
	return text == n.CommonName || slices.Contains(n.Organization, text)
}

func (s Signature) publisher() string { return nameOf(s.certificate.Subject) }

// String returns who signed, with which certificate, and when.
func (s Signature) String() string {
	text := fmt.Sprintf("Authenticode signature by %q, certificate %s of %q", s.publisher(), thumbprint(s.certificate), nameOf(s.certificate.Issuer))
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
		return errors.New("the policy has no signer: set Publisher and Issuer, or Thumbprint")
	}
	if b, err := hex.DecodeString(p.Thumbprint); p.Thumbprint != "" && (err != nil || len(b) != sha256.Size) {
		return fmt.Errorf("invalid thumbprint %q: write 64 hexadecimal digits of SHA-256", p.Thumbprint)
	}
	return nil
}

// LoadRoots reads certificates in PEM from the file at path, for the Roots and
// TimeRoots of a [Policy].
func LoadRoots(path string) ([]*x509.Certificate, error) {
	text, err := durable.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load roots: %w", err)
	}
	var roots []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("load roots: certificate %d in %s: %w", len(roots)+1, path, err)
		}
		roots = append(roots, c)
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("load roots: %s has no certificate in PEM", path)
	}
	return roots, nil
}

// VerifyFile reads the file at path and returns the signature that satisfies the
// policy. It returns an [*Error] if the file is refused, and any other error if
// it could not be verified. Of several signatures one must satisfy the policy;
// all of them must be whole and lead to trusted roots.
func (p Policy) VerifyFile(ctx context.Context, path string) (Signature, error) {
	var f *os.File
	err := durable.WhileInUse(func() (err error) {
		f, err = os.Open(path)
		return err
	})
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

// verify is VerifyFile for size bytes of r. A change of the file outranks all
// else that is wrong: all signatures are verified before any signer is.
func (p Policy) verify(ctx context.Context, r io.ReaderAt, size int64) (Signature, error) {
	if err := p.Check(); err != nil {
		return Signature{}, err
	}
	file, der, err := formatOf(ctx, &reader{r, size})
	if err != nil {
		return Signature{}, err
	}
	all, err := unpack(der)
	if err != nil {
		return Signature{}, err
	}
	sigs := make([]pkcs9.TimestampedSignature, len(all))
	for i, sd := range all {
		if sigs[i], err = check(ctx, sd, file.format, file.digest); err != nil {
			return Signature{}, err
		}
	}
	for _, sig := range sigs {
		if err := p.bundled(sig); err != nil {
			return Signature{}, err
		}
	}
	var worst *Error
	for i, sig := range sigs {
		s := Signature{format: file.format, certificate: sig.Certificate, stamped: p.stamped(sig)}
		refusal := p.satisfied(all[i], sig, s)
		if refusal == nil {
			s.stated = file.states()
			return s, nil
		}
		if worst == nil || refusal.rank() > worst.rank() {
			worst = refusal
		}
	}
	return Signature{}, worst
}

// satisfied returns why a signature does not satisfy the policy.
func (p Policy) satisfied(sd *pkcs7.ContentInfoSignedData, sig pkcs9.TimestampedSignature, s Signature) *Error {
	if err := p.matches(s.certificate); err != nil {
		return err
	}
	if err := weak(sd); err != nil {
		return err
	}
	return p.trusted(sig, s.stamped)
}

// matches returns an error if the signer is not the expected one.
func (p Policy) matches(c *x509.Certificate) *Error {
	thumb, publisher, issuer := thumbprint(c), nameOf(c.Subject), nameOf(c.Issuer)
	switch {
	case p.Thumbprint != "" && !strings.EqualFold(p.Thumbprint, thumb):
		return refuse(errOtherPublisher, "the signer is certificate %s of %q by %q, not %s", thumb, publisher, issuer, strings.ToLower(p.Thumbprint))
	case p.Publisher != "" && !names(p.Publisher, c.Subject):
		return refuse(errOtherPublisher, "the signer is %q, not %q", publisher, p.Publisher)
	case p.Issuer != "" && !names(p.Issuer, c.Issuer):
		return refuse(errOtherPublisher, "the certificate of %q is issued by %q, not by %q", publisher, issuer, p.Issuer)
	}
	return nil
}
