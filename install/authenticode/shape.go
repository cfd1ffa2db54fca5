package authenticode

import (
	"encoding/asn1"
	"slices"

	"github.com/sassoftware/relic/v8/lib/pkcs7"
	"github.com/sassoftware/relic/v8/lib/pkcs9"
)

// A signature is not signed itself, but in a few of its fields. This file refuses
// everything in it that is neither signed, nor a value that is the same in every
// such signature, nor needed to verify it: the decoder of package pkcs7 skips
// what it does not know, so that an attacker could put data there which the
// vendor's program then reads and trusts.

// shape refuses all but a signature (PKCS #7) of one content of the kind, and
// returns the DER of the signatures nested in it.
func shape(der []byte, kind asn1.ObjectIdentifier) (nested [][]byte, err error) {
	info, err := sequence(der)
	if err != nil {
		return nil, err
	}
	if len(info) != 2 || !isOID(info[0], pkcs7.OidSignedData) {
		return nil, odd("it is of another kind")
	}
	signed, err := only(info[1], 0, asn1.TagSequence)
	if err != nil {
		return nil, err
	}
	parts, err := values(signed.Bytes)
	if err != nil {
		return nil, err
	}
	version := byte(1) // of a file's
	if !kind.Equal(oidIndirect) {
		version = 3 // RFC 5652, 5.1: the content is not data
	}
	if len(parts) != 5 || !isSmall(parts[0], version) || !isTagged(parts[3], 0) {
		return nil, odd("it has other parts than that of a file")
	}
	if err := contentOf(parts[2], kind); err != nil {
		return nil, err
	}
	signers, err := elements(parts[4], asn1.TagSet)
	if err != nil {
		return nil, err
	}
	hashes, err := elements(parts[1], asn1.TagSet)
	if err != nil {
		return nil, err
	}
	if len(signers) != 1 || len(hashes) != 1 {
		return nil, odd("it has several signers")
	}
	return signer(signers[0], &hashes[0], kind)
}

// contentOf checks the content that is signed. Its own tag and length are not.
func contentOf(v asn1.RawValue, kind asn1.ObjectIdentifier) error {
	parts, err := elements(v, asn1.TagSequence)
	if err != nil {
		return err
	}
	if len(parts) != 2 || !isOID(parts[0], kind) {
		return odd("its content is of another kind")
	}
	tag := asn1.TagSequence
	if !kind.Equal(oidIndirect) {
		tag = asn1.TagOctetString
	}
	_, err = only(parts[1], 0, tag)
	return err
}

// signer checks a SignerInfo. The hash is the one that the signature announces,
// nil for a countersignature, which announces none.
func signer(v asn1.RawValue, hash *asn1.RawValue, kind asn1.ObjectIdentifier) (nested [][]byte, err error) {
	parts, err := elements(v, asn1.TagSequence)
	if err != nil {
		return nil, err
	}
	// Version, certificate, hash, signed attributes, algorithm, signature, and unsigned attributes.
	if len(parts) < 6 || len(parts) > 7 || !isSmall(parts[0], 1) || !isTagged(parts[3], 0) || len(parts) == 7 && !isTagged(parts[6], 1) {
		return nil, odd("its signer has other parts")
	}
	for _, i := range []int{2, 4} {
		if err := algorithm(parts[i]); err != nil {
			return nil, err
		}
	}
	if hash != nil {
		if err := algorithm(*hash); err != nil {
			return nil, err
		}
		if !slices.Equal(first(*hash).FullBytes, first(parts[2]).FullBytes) {
			return nil, odd("it announces another hash")
		}
	}
	// The signed attributes have the kind of content that is signed: without
	// them the signature of a letter could be used as that of a file.
	var info pkcs7.SignerInfo
	var signed asn1.ObjectIdentifier
	if rest, err := asn1.Unmarshal(v.FullBytes, &info); err != nil || len(rest) > 0 {
		return nil, odd("its signer cannot be read")
	}
	if err := info.AuthenticatedAttributes.GetOne(pkcs7.OidAttributeContentType, &signed); err != nil || !signed.Equal(kind) {
		return nil, odd("it is not marked as that of its content")
	}
	if len(parts) == 6 {
		return nil, nil
	}
	if !kind.Equal(oidIndirect) {
		return nil, odd("its time stamp contains unsigned data")
	}
	return unsigned(parts[6])
}

// unsigned checks the unsigned attributes of a file's signature: one time stamp,
// and further signatures, each of which is checked like the first.
func unsigned(v asn1.RawValue) (nested [][]byte, err error) {
	list, err := values(v.Bytes)
	if err != nil {
		return nil, err
	}
	stamps, nests := 0, 0
	for _, a := range list {
		parts, err := elements(a, asn1.TagSequence)
		if err != nil {
			return nil, err
		}
		if len(parts) != 2 {
			return nil, odd("an attribute has other parts")
		}
		var id asn1.ObjectIdentifier
		if _, err := asn1.Unmarshal(parts[0].FullBytes, &id); err != nil {
			return nil, odd("an attribute has no kind")
		}
		items, err := elements(parts[1], asn1.TagSet)
		if err != nil {
			return nil, err
		}
		switch {
		case id.Equal(oidNested):
			nests++
			for _, item := range items {
				nested = append(nested, item.FullBytes)
			}
		case len(items) != 1:
			return nil, odd("an attribute has several values")
		case id.Equal(pkcs9.OidAttributeTimeStampToken), id.Equal(pkcs9.OidSpcTimeStampToken):
			stamps++
			_, err = shape(items[0].FullBytes, pkcs9.OidTSTInfo)
		case id.Equal(pkcs9.OidAttributeCounterSign):
			stamps++
			_, err = signer(items[0], nil, pkcs7.OidData)
		default:
			err = refuse(ErrMismatch, "the signature contains unsigned data (attribute %v)", id)
		}
		if err != nil {
			return nil, err
		}
	}
	if stamps > 1 || nests > 1 {
		return nil, odd("it has more than one time stamp")
	}
	return nested, nil
}

// algorithm checks an AlgorithmIdentifier: a name, and no parameters. RSA-PSS has
// some, and is not used for programs.
func algorithm(v asn1.RawValue) error {
	parts, err := elements(v, asn1.TagSequence)
	switch {
	case err != nil:
		return err
	case len(parts) == 1, len(parts) == 2 && slices.Equal(parts[1].FullBytes, []byte{asn1.TagNull, 0}):
		return nil
	}
	return odd("an algorithm has parameters")
}

func odd(what string) error {
	return refuse(ErrMismatch, "the signature is not the signature of a file: %s", what)
}

// values returns the DER values in b, which nothing may follow.
func values(b []byte) (list []asn1.RawValue, err error) {
	for len(b) > 0 {
		var v asn1.RawValue
		if b, err = asn1.Unmarshal(b, &v); err != nil {
			return nil, odd("it cannot be read: " + err.Error())
		}
		list = append(list, v)
	}
	return list, nil
}

// sequence returns the elements of the SEQUENCE that is all of b.
func sequence(b []byte) ([]asn1.RawValue, error) {
	list, err := values(b)
	if err != nil {
		return nil, err
	}
	if len(list) != 1 {
		return nil, odd("data follows it")
	}
	return elements(list[0], asn1.TagSequence)
}

// elements returns those of a SEQUENCE or SET.
func elements(v asn1.RawValue, tag int) ([]asn1.RawValue, error) {
	if v.Class != asn1.ClassUniversal || v.Tag != tag || !v.IsCompound {
		return nil, odd("it has other parts")
	}
	return values(v.Bytes)
}

// only returns the value that is all of the explicit tag, and has a tag itself.
func only(v asn1.RawValue, explicit, tag int) (asn1.RawValue, error) {
	if !isTagged(v, explicit) {
		return v, odd("it has other parts")
	}
	list, err := values(v.Bytes)
	if err != nil {
		return v, err
	}
	if len(list) != 1 || list[0].Class != asn1.ClassUniversal || list[0].Tag != tag || list[0].IsCompound != (tag == asn1.TagSequence) {
		return v, odd("it has other parts")
	}
	return list[0], nil
}

// first returns the first element of a checked algorithm.
func first(v asn1.RawValue) asn1.RawValue {
	list, err := values(v.Bytes)
	if err != nil || len(list) == 0 {
		return v
	}
	return list[0]
}

func isTagged(v asn1.RawValue, tag int) bool {
	return v.Class == asn1.ClassContextSpecific && v.Tag == tag && v.IsCompound
}

func isSmall(v asn1.RawValue, n byte) bool {
	return slices.Equal(v.FullBytes, []byte{asn1.TagInteger, 1, n})
}

func isOID(v asn1.RawValue, id asn1.ObjectIdentifier) bool {
	var got asn1.ObjectIdentifier
	rest, err := asn1.Unmarshal(v.FullBytes, &got)
	return err == nil && len(rest) == 0 && got.Equal(id)
}
