package authenticode

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"
	"github.com/stretchr/testify/require"
)

// chained adds an authority between the root and the signer, and returns the
// signer and the options that put both authorities into the file.
func (s *site) chained(t testing.TB) (identity, []string) {
	t.Helper()
	between := issue(t, "Test Authority", &s.root, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign })
	leaf := issue(t, "Vendor", &between, coder)
	bundle := filepath.Join(t.TempDir(), "chain.pem")
	require.NoError(t, os.WriteFile(bundle, slices.Concat(read(t, between.pem), read(t, s.root.pem)), 0o600))
	return leaf, []string{"-ac", bundle}
}

// Whatever byte of a signed program is another one, it is refused, unless it is
// in the checksum that Windows does not look at either. That holds for all the
// signatures in it, and for all the certificates in them.
func TestNoByteOfASignedProgramMayChange(t *testing.T) {
	s := newSite(t)
	leaf, chain := s.chained(t)
	plain := write(t, "a.exe", program(true))
	sha1 := s.sign(t, leaf, plain, append(chain, "-h", "sha1", "-ts", s.tsa)...)
	other := issue(t, "Other", &s.root, coder)
	stamp := slices.Concat(chain, []string{"-ts", s.tsa})
	for name, path := range map[string]string{
		"single":              s.sign(t, leaf, plain, chain...),
		"stamped":             s.sign(t, leaf, plain, stamp...),
		"double, SHA-1 first": s.sign(t, leaf, sha1, append(stamp, "-nest")...),
		"double, other first": s.sign(t, leaf, s.sign(t, other, plain, "-ts", s.tsa), append(stamp, "-nest")...),
		"nested three times":  s.sign(t, leaf, s.sign(t, other, s.sign(t, leaf, plain, stamp...), "-nest"), append(chain, "-nest")...),
	} {
		t.Run(name, func(t *testing.T) {
			signed := read(t, path)
			p, _, err := readPE(&reader{bytes.NewReader(signed), int64(len(signed))})
			require.NoError(t, err)
			policy := s.policy(time.Now())
			_, err = verify(t, policy, signed)
			require.NoError(t, err)
			random := rand.New(rand.NewPCG(1, 2))
			var accepted []string
			for range 5000 {
				i := int64(random.IntN(len(signed)))
				if random.IntN(2) == 0 { // more of them in the signatures, where most bytes are not signed
					i = p.table + random.Int64N(int64(len(signed))-p.table)
				}
				b := bytes.Clone(signed)
				b[i] ^= byte(1 + random.IntN(255))
				if _, err := verify(t, policy, b); err == nil && (i < p.checksum || i >= p.checksum+4) {
					accepted = append(accepted, fmt.Sprintf("%d: %x instead of %x", i, b[i], signed[i]))
				} else if err != nil {
					require.ErrorAs(t, err, new(*Error))
				}
			}
			require.Empty(t, accepted)
		})
	}
}

// rebuilt returns the program with another signature in its table.
func rebuilt(t testing.TB, program []byte, change func(*pkcs7.ContentInfoSignedData)) []byte {
	t.Helper()
	p, der, err := readPE(&reader{bytes.NewReader(program), int64(len(program))})
	require.NoError(t, err)
	sd, err := pkcs7.Unmarshal(der)
	require.NoError(t, err)
	change(sd)
	for i := range sd.Content.SignerInfos {
		sd.Content.SignerInfos[i].RawContent = nil
	}
	der, err = sd.Marshal()
	require.NoError(t, err)
	return withSignature(program, p, der)
}

// rebuiltWithin is rebuilt for the first signature nested in that of the table, which is valid
// still: what is nested is not signed by it.
func rebuiltWithin(t testing.TB, program []byte, change func(*pkcs7.ContentInfoSignedData)) []byte {
	t.Helper()
	return rebuilt(t, program, func(outer *pkcs7.ContentInfoSignedData) {
		list := outer.Content.SignerInfos[0].UnauthenticatedAttributes
		at := slices.IndexFunc(list, func(a pkcs7.Attribute) bool { return a.Type.Equal(oidNested) })
		require.GreaterOrEqual(t, at, 0)
		var first asn1.RawValue // of all that are nested
		others, err := asn1.Unmarshal(list[at].Values.Bytes, &first)
		require.NoError(t, err)
		sd, err := pkcs7.Unmarshal(first.FullBytes)
		require.NoError(t, err)
		change(sd)
		for i := range sd.Content.SignerInfos {
			sd.Content.SignerInfos[i].RawContent = nil
		}
		der, err := sd.Marshal()
		require.NoError(t, err)
		list[at].Values.Bytes = slices.Concat(der, others)
		for i := range list {
			list[i].Values.FullBytes = nil // it would be written instead
		}
	})
}

func withSignature(program []byte, p portable, der []byte) []byte {
	le := binary.LittleEndian
	der = append(bytes.Clone(der), make([]byte, (8-len(der)%8)%8)...)
	b := bytes.Clone(program[:p.table])
	le.PutUint32(b[p.pointer+4:], uint32(len(der)+8))
	b = le.AppendUint32(b, uint32(len(der)+8))
	b = le.AppendUint16(b, 0x0200)
	b = le.AppendUint16(b, 2)
	return append(b, der...)
}

func TestDataWithinASignatureIsRefused(t *testing.T) {
	s := newSite(t)
	plain := write(t, "a.exe", program(true))
	leaf, chain := s.chained(t)
	other := issue(t, "Other", nil, root)
	vouched := issue(t, "Somebody", &s.root, coder)
	single := s.sign(t, leaf, plain, append(chain, "-ts", s.tsa)...)
	double := s.sign(t, leaf, s.sign(t, leaf, plain, append(chain, "-h", "sha1")...), append(chain, "-nest")...)
	triple := s.sign(t, leaf, s.sign(t, issue(t, "Third", &s.root, coder), s.sign(t, leaf, plain, chain...), "-nest"), append(chain, "-nest")...)
	blob := []byte("what the vendor never wrote")
	attribute := func(id asn1.ObjectIdentifier, value any) func(*pkcs7.ContentInfoSignedData) {
		return func(sd *pkcs7.ContentInfoSignedData) {
			list := &sd.Content.SignerInfos[0].UnauthenticatedAttributes
			require.NoError(t, list.Add(id, value))
			for i := range *list {
				(*list)[i].Values.FullBytes = nil // it would be written instead
			}
		}
	}
	certificate := func(c *x509.Certificate) func(*pkcs7.ContentInfoSignedData) {
		return func(sd *pkcs7.ContentInfoSignedData) {
			sd.Content.Certificates = append(sd.Content.Certificates, asn1.RawValue{FullBytes: c.Raw})
		}
	}
	for _, in := range []struct {
		path    string
		rebuilt func(testing.TB, []byte, func(*pkcs7.ContentInfoSignedData)) []byte
	}{{single, rebuilt}, {double, rebuilt}, {double, rebuiltWithin}, {triple, rebuiltWithin}} {
		whole := read(t, in.path)
		again := in.rebuilt(t, whole, func(*pkcs7.ContentInfoSignedData) {})
		_, err := verify(t, s.policy(time.Now()), again)
		require.NoError(t, err, "the test rebuilds a signature")
		for name, change := range map[string]func(*pkcs7.ContentInfoSignedData){
			"an unsigned attribute":                   attribute(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 42921, 1, 2, 1}, blob),
			"data instead of a second signature":      attribute(oidNested, blob),
			"data beside the time stamp":              attribute(pkcs9.OidSpcTimeStampToken, blob),
			"a countersignature beside it":            attribute(pkcs9.OidAttributeCounterSign, blob),
			"a certificate by itself":                 certificate(other.cert),
			"a certificate by the trusted root":       certificate(vouched.cert),
			"another root with the key of a stranger": certificate(issue(t, "Test Root", nil, root).cert),
			"a certificate that is none": func(sd *pkcs7.ContentInfoSignedData) {
				sd.Content.Certificates = append(sd.Content.Certificates, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: []byte{4, 2, 1, 2}})
			},
			"a second hash": func(sd *pkcs7.ContentInfoSignedData) {
				sd.Content.DigestAlgorithmIdentifiers = append(sd.Content.DigestAlgorithmIdentifiers, sd.Content.DigestAlgorithmIdentifiers[0])
			},
			"parameters of the hash": func(sd *pkcs7.ContentInfoSignedData) {
				sd.Content.DigestAlgorithmIdentifiers[0].Parameters = asn1.RawValue{Tag: asn1.TagOctetString, Bytes: blob}
			},
			"another version": func(sd *pkcs7.ContentInfoSignedData) { sd.Content.Version = 4 },
			"a second signer": func(sd *pkcs7.ContentInfoSignedData) {
				sd.Content.SignerInfos = append(sd.Content.SignerInfos, sd.Content.SignerInfos[0])
			},
			"no signed attributes": func(sd *pkcs7.ContentInfoSignedData) { sd.Content.SignerInfos[0].AuthenticatedAttributes = nil },
		} {
			_, err := verify(t, s.policy(time.Now()), in.rebuilt(t, whole, change))
			require.ErrorIs(t, err, ErrMismatch, "%s in %s", name, filepath.Base(in.path))
		}
		// The decoder skips what follows the last element that it knows.
		p, der, err := readPE(&reader{bytes.NewReader(whole), int64(len(whole))})
		require.NoError(t, err)
		var info, signed asn1.RawValue
		_, err = asn1.Unmarshal(der, &info)
		require.NoError(t, err)
		more, err := asn1.Marshal(blob)
		require.NoError(t, err)
		_, err = asn1.Unmarshal(info.Bytes, &signed)
		require.NoError(t, err)
		longer, err := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: append(info.Bytes, more...)})
		require.NoError(t, err)
		_, err = verify(t, s.policy(time.Now()), withSignature(whole, p, longer))
		require.ErrorIs(t, err, ErrMismatch)
	}
	// As osslsigncode hides it, in the outer of two signatures.
	hidden := s.sign(t, leaf, s.sign(t, leaf, plain, append(chain, "-h", "sha1", "-addUnauthenticatedBlob")...), append(chain, "-nest")...)
	_, err := s.policy(time.Now()).VerifyFile(t.Context(), hidden)
	require.ErrorIs(t, err, ErrMismatch)
}

// A changed file is called that, whatever else is wrong with its signatures.
func TestAChangeOutranksAllOtherFindings(t *testing.T) {
	s := newSite(t)
	plain := write(t, "a.exe", program(true))
	past := issue(t, "Vendor", &s.root, func(c *x509.Certificate) { coder(c); c.NotAfter = time.Now().Add(-24 * time.Hour) })
	other := issue(t, "Other", nil, root)
	stranger := issue(t, "Vendor", &other, coder)
	for name, path := range map[string]string{
		"a weak hash":       s.sign(t, s.leaf, plain, "-h", "sha1"),
		"a weak hash first": s.sign(t, s.leaf, s.sign(t, s.leaf, plain, "-h", "sha1"), "-nest"),
		"expired":           s.sign(t, past, plain),
		"another publisher": s.sign(t, issue(t, "Other", &s.root, coder), plain),
		"an unknown root":   s.sign(t, stranger, plain),
	} {
		_, err := verify(t, s.policy(time.Now()), flipped(read(t, path), 0x500))
		require.ErrorIs(t, err, ErrMismatch, name)
		require.NotErrorIs(t, err, ErrUntrusted, name)
	}
}

func TestAMissingRootIsNamed(t *testing.T) {
	s := newSite(t)
	plain := write(t, "a.exe", program(true))
	leaf, chain := s.chained(t)
	without := s.policy(time.Now())
	without.Roots = s.timeRoot.alone()
	_, err := without.VerifyFile(t.Context(), s.sign(t, leaf, plain, chain...))
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.ErrorIs(t, err, ErrUntrusted)
	require.ErrorContains(t, err, `"CN=Test Root,O=ООО Test Root" (SHA-256 `+thumbprint(s.root.cert)+`), which is not in Policy.Roots`)
	require.Contains(t, e.Next, "add it to Policy.Roots")

	unstamped := s.policy(time.Now())
	unstamped.TimeRoots = s.root.alone()
	_, err = unstamped.VerifyFile(t.Context(), s.sign(t, s.leaf, plain, "-ts", s.tsa))
	require.ErrorIs(t, err, ErrUntrusted)
	require.ErrorContains(t, err, "Time Root")
	require.ErrorContains(t, err, "add it to Policy.TimeRoots")
}
