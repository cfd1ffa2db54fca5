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

// maxNested bounds the signatures that are verified; the file is read once for each.
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

// A digester hashes what a signature of its format covers.
type digester func(context.Context, hash.Hash) error

// unpack returns the signatures of a file: the one in der, and those
// nested in it.
func unpack(der []byte) ([]*pkcs7.ContentInfoSignedData, error) {
	first, err := guarded(func() (*pkcs7.ContentInfoSignedData, error) { return pkcs7.Unmarshal(der) })
	if err != nil {
		return nil, refuse(ErrMismatch, "cannot read the signature: %v", err)
	}
	all := []*pkcs7.ContentInfoSignedData{first}
	if len(first.Content.SignerInfos) == 1 {
		var nested []pkcs7.ContentInfoSignedData
		err := first.Content.SignerInfos[0].UnauthenticatedAttributes.GetAll(oidNested, &nested)
		if _, absent := errors.AsType[pkcs7.ErrNoAttribute](err); err != nil && !absent {
			return nil, refuse(ErrMismatch, "cannot read the second signature: %v", err)
		}
		for i := range nested {
			all = append(all, &nested[i])
		}
	}
	if len(all) > maxNested {
		return nil, refuse(ErrMismatch, "the file has more than %d signatures", maxNested)
	}
	return all, nil
}

// check verifies that sd is a signature of a file of the format, and returns it
// with its time stamp. It does not check the signers of either.
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
		return none, refuse(ErrMismatch, "the signature or time stamp is not valid: %v", err)
	}
	var is indirect
	if err := sd.Content.ContentInfo.Unmarshal(&is); err != nil {
		return none, refuse(ErrMismatch, "cannot read the signature: %v", err)
	}
	if !is.Data.Format.Equal(format) {
		return none, refuse(ErrMismatch, "the signature is for another kind of file")
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
		return none, refuse(ErrMismatch, "the file does not have the hash that was signed")
	}
	return sig, nil
}

// shape refuses what is not an Authenticode signature, and unsigned attributes
// that are not needed.
func shape(sd *pkcs7.ContentInfoSignedData) error {
	if !sd.ContentType.Equal(pkcs7.OidSignedData) || !sd.Content.ContentInfo.ContentType.Equal(oidIndirect) || len(sd.Content.SignerInfos) != 1 {
		return refuse(ErrMismatch, "the signature is not the signature of a file")
	}
	si := sd.Content.SignerInfos[0]
	// The signed attributes have the kind of content that is signed: without
	// them the signature of a letter could be used as that of a file.
	var kind asn1.ObjectIdentifier
	if err := si.AuthenticatedAttributes.GetOne(pkcs7.OidAttributeContentType, &kind); err != nil || !kind.Equal(oidIndirect) {
		return refuse(ErrMismatch, "the signature is not marked as that of a file")
	}
	for _, a := range si.UnauthenticatedAttributes {
		if !slices.ContainsFunc([]asn1.ObjectIdentifier{
			pkcs9.OidAttributeTimeStampToken, pkcs9.OidSpcTimeStampToken, pkcs9.OidAttributeCounterSign, oidNested,
		}, a.Type.Equal) {
			return refuse(ErrMismatch, "the signature contains unsigned data (attribute %v)", a.Type)
		}
	}
	return nil
}

// strong returns the hash, if it is SHA-256 or stronger.
func strong(a pkix.AlgorithmIdentifier) (crypto.Hash, error) {
	h, _ := x509tools.PkixDigestToHash(a)
	if h != crypto.SHA256 && h != crypto.SHA384 && h != crypto.SHA512 {
		e := refuse(ErrUntrusted, "the hash of the signature is too weak (%v)", a.Algorithm)
		e.Next = "ask the vendor for a signature with SHA-256, or pin the file's SHA-256"
		return 0, e
	}
	return h, nil
}

// guarded returns a panic of the imported decoder as an error: it reads a first
// byte that may be missing in a malformed file.
func guarded[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed: %v", r)
		}
	}()
	return f()
}

// formatOf returns the format of a file by its first bytes.
func formatOf(ctx context.Context, r *reader) (asn1.ObjectIdentifier, digester, []byte, error) {
	head, err := r.bytes(0, min(8, r.size))
	switch {
	case err != nil:
		return nil, nil, nil, err
	case bytes.HasPrefix(head, []byte("MZ")):
		p, der, err := readPE(r)
		return oidPE, p.digest, der, err
	case string(head) == cfb.Magic:
		m, der, err := readMSI(ctx, r)
		return oidMSI, m.digest, der, err
	}
	return nil, nil, nil, refuse(ErrUnsigned, "the file is neither a Windows program nor an MSI package")
}
