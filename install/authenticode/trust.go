package authenticode

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sassoftware/relic/v8/lib/pkcs9"
)

// pool returns the roots as package x509 uses them; nil means the system's.
func pool(roots []*x509.Certificate) *x509.CertPool {
	if roots == nil {
		return nil
	}
	p := x509.NewCertPool()
	for _, c := range roots {
		p.AddCert(c)
	}
	return p
}

func (p Policy) timeRoots() []*x509.Certificate {
	if p.TimeRoots != nil {
		return p.TimeRoots
	}
	return p.Roots
}

// bundled verifies the certificates in the file that belong to a signature and
// to its time stamp: each must be above the certificate of one of the two, and
// below a trusted root. Nothing verifies any other certificate, so that it could
// hold an attacker's data.
func (p Policy) bundled(sig pkcs9.TimestampedSignature) error {
	leaves := []*x509.Certificate{sig.Certificate}
	if cs := sig.CounterSignature; cs != nil {
		leaves = append(leaves, cs.Certificate)
	}
	all := slices.Clone(sig.Intermediates)
	if cs := sig.CounterSignature; cs != nil {
		all = append(all, cs.Intermediates...) // those of the signature as well
	}
	b := bundle{all: all, policy: p}
	used := b.above(leaves)
	for _, c := range all {
		if !slices.Contains(used, c) && !slices.ContainsFunc(used, c.Equal) {
			return refuse(ErrMismatch, "it contains a certificate of %q that no signature needs", nameOf(c.Subject))
		}
	}
	for i, leaf := range leaves {
		for _, c := range b.above([]*x509.Certificate{leaf}) {
			if err := b.trusts(c, i > 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// A bundle is the certificates of a signature in a file.
type bundle struct {
	all    []*x509.Certificate
	policy Policy
}

// issued reports whether the key of the authority signed the certificate. It
// accepts SHA-1, as in signatures for old Windows: whom to trust is decided
// elsewhere, and another certificate of the same SHA-1 cannot be made.
func issued(authority, c *x509.Certificate) bool {
	return bytes.Equal(authority.RawSubject, c.RawIssuer) && authority.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// above returns the certificates and those of all authorities above them.
func (b bundle) above(certs []*x509.Certificate) []*x509.Certificate {
	used := slices.Clone(certs)
	for i := 0; i < len(used); i++ {
		for _, c := range b.all {
			if !slices.ContainsFunc(used, c.Equal) && issued(c, used[i]) {
				used = append(used, c)
			}
		}
	}
	return used
}

// trusts returns an error if no chain leads from the certificate to a trusted
// root. Its period does not matter here.
func (b bundle) trusts(c *x509.Certificate, ofTime bool) error {
	roots, field := b.policy.Roots, "Roots"
	if ofTime {
		roots, field = b.policy.timeRoots(), "TimeRoots"
	}
	var top *x509.Certificate
	var done []*x509.Certificate
	var leads func(*x509.Certificate) bool
	leads = func(c *x509.Certificate) bool {
		done = append(done, c)
		if below(c, roots) || !ofTime && strings.EqualFold(b.policy.Thumbprint, thumbprint(c)) {
			return true
		}
		ends := true
		for _, a := range b.all {
			if a.IsCA && !slices.ContainsFunc(done, a.Equal) && issued(a, c) {
				ends = false
				if leads(a) {
					return true
				}
			}
		}
		if ends && top == nil {
			top = c
		}
		return false
	}
	switch {
	case leads(c):
		return nil
	case slices.ContainsFunc(roots, func(r *x509.Certificate) bool { return bytes.Equal(r.RawSubject, top.RawIssuer) }):
		return refuse(ErrMismatch, "the certificate of %q was not issued by the trusted %q that it names", nameOf(top.Subject), nameOf(top.Issuer))
	}
	return missing(top, field)
}

// missing returns a refusal that names the root which is not trusted.
func missing(top *x509.Certificate, field string) *Error {
	sum := ""
	if bytes.Equal(top.RawSubject, top.RawIssuer) {
		sum = " (SHA-256 " + thumbprint(top) + ")"
	}
	e := refuse(ErrUntrusted, "the certificate of %q needs the root %q%s, which is not in Policy.%s", nameOf(top.Subject), top.Issuer, sum, field)
	e.Next = fmt.Sprintf("get the certificate of %q from that authority, compare its SHA-256 with what the authority publishes, and add it to Policy.%s", nameOf(top.Issuer), field)
	return e
}

// below reports whether a root issued the certificate, or is it.
func below(c *x509.Certificate, roots []*x509.Certificate) bool {
	if roots == nil {
		_, err := c.Verify(x509.VerifyOptions{CurrentTime: c.NotBefore, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err == nil
	}
	return slices.ContainsFunc(roots, func(r *x509.Certificate) bool { return r.Equal(c) || issued(r, c) })
}

// oidLifetime marks a certificate whose signatures expire with it even if they
// have a time stamp.
var oidLifetime = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 10, 3, 13}

// stamped returns the time in a trusted time stamp, or zero.
func (p Policy) stamped(sig pkcs9.TimestampedSignature) time.Time {
	cs := sig.CounterSignature
	if cs == nil || slices.ContainsFunc(sig.Certificate.UnknownExtKeyUsage, oidLifetime.Equal) {
		return time.Time{}
	}
	if !strong(cs.SignerInfo.DigestAlgorithm) || cs.Hash.Size() < sha256.Size {
		return time.Time{}
	}
	if err := cs.Signature.VerifyChain(pool(p.timeRoots()), nil, x509.ExtKeyUsageTimeStamping, cs.SigningTime); err != nil {
		return time.Time{}
	}
	return cs.SigningTime
}

// trusted builds the chain of the signer's certificate, as of the time stamp, or
// as of now without one.
func (p Policy) trusted(sig pkcs9.TimestampedSignature, stamped time.Time) *Error {
	roots, leaf := pool(p.Roots), sig.Certificate
	if p.Thumbprint != "" { // matches has compared it
		roots = pool([]*x509.Certificate{leaf})
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
		if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); unknown {
			return missing(leaf, "Roots")
		}
		return refuse(ErrUntrusted, "%v", err)
	}
	when := "no time stamp, and now"
	switch cs := sig.CounterSignature; {
	case !stamped.IsZero():
		when = "the time stamp"
	case cs != nil:
		when = fmt.Sprintf("the time stamp by %q does not count, and now", nameOf(cs.Certificate.Subject))
	}
	return refuse(errExpired, "valid from %s to %s; %s is %s",
		leaf.NotBefore.UTC().Format(time.RFC3339), leaf.NotAfter.UTC().Format(time.RFC3339), when, at.UTC().Format(time.RFC3339))
}
