package authenticode

import (
	"bytes"
	"context"
	"crypto"
	_ "crypto/sha1" //nolint:gosec // only for signatures beside the one that counts
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/subtle"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"hash"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"
	"github.com/sassoftware/relic/v8/lib/x509tools"

	"github.com/aspupdate/aspupdate/internal/cfb"
)

var (
	oidIndirect = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidNested   = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 4, 1}
)

// maxSignatures bounds those that are verified; the file is read once for each.
const maxSignatures = 5

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

// unpack returns the signatures of a file: the one in der, and those nested in
// it. It refuses what is not needed to verify them.
func unpack(der []byte) ([]*pkcs7.ContentInfoSignedData, error) {
	var all []*pkcs7.ContentInfoSignedData
	for todo := [][]byte{der}; len(todo) > 0; todo = todo[1:] {
		nested, err := shape(todo[0], oidIndirect)
		if err != nil {
			return nil, err
		}
		sd, err := guarded(func() (*pkcs7.ContentInfoSignedData, error) { return pkcs7.Unmarshal(todo[0]) })
		if err != nil {
			return nil, refuse(ErrMismatch, "cannot read the signature: %v", err)
		}
		all, todo = append(all, sd), append(todo, nested...)
		if len(todo)-1+len(all) > maxSignatures {
			return nil, refuse(ErrMismatch, "the file has more than %d signatures", maxSignatures)
		}
	}
	return all, nil
}

// check verifies that sd is a signature of a file of the format, and returns it
// with its time stamp. It does not check the signers of either.
func check(ctx context.Context, sd *pkcs7.ContentInfoSignedData, format asn1.ObjectIdentifier, digest digester) (pkcs9.TimestampedSignature, error) {
	none := pkcs9.TimestampedSignature{}
	sig, err := guarded(func() (pkcs9.TimestampedSignature, error) {
		s, err := sd.Content.Verify(nil, false)
		if err != nil {
			return none, err
		}
		if s.CertError != nil {
			return none, s.CertError
		}
		t, err := pkcs9.VerifyOptionalTimestamp(s)
		if cs := t.CounterSignature; err == nil && cs != nil {
			err = cs.CertError
		}
		return t, err
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
	h, err := x509tools.PkixDigestToHashE(is.Digest.Algorithm)
	if err != nil {
		return none, refuse(ErrMismatch, "the hash of the file cannot be verified: %v", err)
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

// weak refuses a signature with a hash that is weaker than SHA-256. Such a
// signature is verified nevertheless: a change that it shows is one.
func weak(sd *pkcs7.ContentInfoSignedData) *Error {
	var is indirect
	if err := sd.Content.ContentInfo.Unmarshal(&is); err != nil {
		return refuse(ErrMismatch, "cannot read the signature: %v", err)
	}
	for _, a := range []pkix.AlgorithmIdentifier{is.Digest.Algorithm, sd.Content.SignerInfos[0].DigestAlgorithm} {
		if !strong(a) {
			return refuse(errWeak, "%v", a.Algorithm)
		}
	}
	return nil
}

// strong reports whether the hash is SHA-256 or stronger.
func strong(a pkix.AlgorithmIdentifier) bool {
	h, _ := x509tools.PkixDigestToHash(a)
	return h == crypto.SHA256 || h == crypto.SHA384 || h == crypto.SHA512
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

// A subject is a file that may be signed.
type subject struct {
	format asn1.ObjectIdentifier // as its signatures name it
	digest digester
	states func() stated
}

// formatOf returns what a file is by its first bytes, and its signature in DER.
func formatOf(ctx context.Context, r *reader) (subject, []byte, error) {
	head, err := r.bytes(0, min(8, r.size))
	switch {
	case err != nil:
		return subject{}, nil, err
	case bytes.HasPrefix(head, []byte("MZ")):
		p, der, err := readPE(r)
		return subject{oidPE, p.digest, p.states}, der, err
	case string(head) == cfb.Magic:
		m, der, err := readMSI(ctx, r)
		return subject{oidMSI, m.digest, m.states}, der, err
	}
	return subject{}, nil, refuse(ErrUnsigned, "the file is neither a Windows program nor an MSI package")
}
