package authenticode

import (
	"bytes"
	"context"
	"crypto"
	_ "crypto/sha256" // the hashes that strong allows
	_ "crypto/sha512"
	"crypto/subtle"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"slices"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"
	"github.com/sassoftware/relic/v8/lib/x509tools"

	"github.com/aspupdate/aspupdate/internal/cfb"
)

var (
	oidIndirect = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidNested   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 4, 1}
)

// maxNested is how many signatures are looked at; each means reading the file once.
const maxNested = 4

// indirect is what is signed: the hash of a file of some format.
type indirect struct {
	Data struct {
		Format asn1.ObjectIdentifier
		Value  asn1.RawValue `asn1:"optional"`
	}
	Digest struct {
		Algorithm pkix.AlgorithmIdentifier
		Digest    []byte
	}
}

// digester hashes what a signature of its format is over.
type digester func(context.Context, hash.Hash) error

// unpack returns the signatures of a file: the one that der is, and those
// nested in it.
func unpack(der []byte) ([]*pkcs7.ContentInfoSignedData, error) {
	first, err := guarded(func() (*pkcs7.ContentInfoSignedData, error) { return pkcs7.Unmarshal(der) })
	if err != nil {
		return nil, refuse(ErrTampered, "its signature is not readable: %v", err)
	}
	all := []*pkcs7.ContentInfoSignedData{first}
	if len(first.Content.SignerInfos) == 1 {
		var nested []pkcs7.ContentInfoSignedData
		err := first.Content.SignerInfos[0].UnauthenticatedAttributes.GetAll(oidNested, &nested)
		if _, absent := errors.AsType[pkcs7.ErrNoAttribute](err); err != nil && !absent {
			return nil, refuse(ErrTampered, "its second signature is not readable: %v", err)
		}
		for i := range nested {
			all = append(all, &nested[i])
		}
	}
	if len(all) > maxNested {
		return nil, refuse(ErrTampered, "it has more than %d signatures", maxNested)
	}
	return all, nil
}

// check verifies that sd is a signature, by whomever, of a file of the
// format, and returns it with its time stamp, by whomever.
func check(ctx context.Context, sd *pkcs7.ContentInfoSignedData, format asn1.ObjectIdentifier, digest digester) (pkcs9.TimestampedSignature, error) {
	none := pkcs9.TimestampedSignature{}
	if err := shape(sd); err != nil {
		return none, err
	}
	sig, err := guarded(func() (pkcs9.TimestampedSignature, error) {
		s, err := sd.Content.Verify(nil, false)
		if err != nil {
			return none, err
		}
		return pkcs9.VerifyOptionalTimestamp(s)
	})
	if err != nil {
		return none, refuse(ErrTampered, "its signature or time stamp does not verify: %v", err)
	}
	var is indirect
	if err := sd.Content.ContentInfo.Unmarshal(&is); err != nil {
		return none, refuse(ErrTampered, "its signature is not readable: %v", err)
	}
	if !is.Data.Format.Equal(format) {
		return none, refuse(ErrTampered, "its signature is one for another kind of file")
	}
	h, err := strong(is.Digest.Algorithm)
	if err != nil {
		return none, err
	}
	if _, err := strong(sig.SignerInfo.DigestAlgorithm); err != nil {
		return none, err
	}
	sum := h.New()
	if err := digest(ctx, sum); err != nil {
		return none, err
	}
	if subtle.ConstantTimeCompare(sum.Sum(nil), is.Digest.Digest) == 0 {
		return none, refuse(ErrTampered, "it does not have the hash that was signed")
	}
	return sig, nil
}

// shape refuses what is no Authenticode signature, and what of it nobody
// signed and nobody needs.
func shape(sd *pkcs7.ContentInfoSignedData) error {
	if !sd.ContentType.Equal(pkcs7.OidSignedData) || !sd.Content.ContentInfo.ContentType.Equal(oidIndirect) || len(sd.Content.SignerInfos) != 1 {
		return refuse(ErrTampered, "its signature is not one of a file")
	}
	si := sd.Content.SignerInfos[0]
	// The signed attributes say what kind of thing is signed: without them
	// the signature of a letter could be shown as one of a file.
	var kind asn1.ObjectIdentifier
	if err := si.AuthenticatedAttributes.GetOne(pkcs7.OidAttributeContentType, &kind); err != nil || !kind.Equal(oidIndirect) {
		return refuse(ErrTampered, "its signature does not say that it is one of a file")
	}
	for _, a := range si.UnauthenticatedAttributes {
		if !slices.ContainsFunc([]asn1.ObjectIdentifier{
			pkcs9.OidAttributeTimeStampToken, pkcs9.OidSpcTimeStampToken, pkcs9.OidAttributeCounterSign, oidNested,
		}, a.Type.Equal) {
			return refuse(ErrTampered, "data hides in its signature (attribute %v)", a.Type)
		}
	}
	return nil
}

// strong returns a hash for which nobody can make a second file.
func strong(a pkix.AlgorithmIdentifier) (crypto.Hash, error) {
	h, _ := x509tools.PkixDigestToHash(a)
	if h != crypto.SHA256 && h != crypto.SHA384 && h != crypto.SHA512 {
		return 0, &Error{
			Reason: ErrUntrusted, Detail: fmt.Sprintf("it is signed with a hash that is too weak (%v)", a.Algorithm),
			Hint: "ask the vendor for a signature with SHA-256, or pin the file's SHA-256",
		}
	}
	return h, nil
}

// guarded turns a panic of the decoder over hostile bytes into an error:
// its code is not ours, and it looks at a first byte that need not be there.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed: %v", r)
		}
	}()
	return f()
}

// formatOf tells by its first bytes what a file is.
func formatOf(ctx context.Context, r *reader) (Format, digester, []byte, error) {
	head, err := r.bytes(0, min(8, r.size))
	switch {
	case err != nil:
		return "", nil, nil, err
	case bytes.HasPrefix(head, []byte("MZ")):
		p, der, err := readPE(r)
		return PE, p.digest, der, err
	case string(head) == cfb.Magic:
		m, der, err := readMSI(ctx, r)
		return MSI, m.digest, der, err
	}
	return "", nil, nil, refuse(ErrUnsigned, "it is neither a Windows program nor an MSI package")
}
