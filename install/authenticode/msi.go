package authenticode

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/asn1"
	"encoding/binary"
	"hash"
	"unicode/utf16"

	"github.com/aspupdate/aspupdate/internal/cfb"
)

// oidMSI marks the signature of a package.
var oidMSI = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 30}

// A package has its signature in a stream. A second stream, if it exists, is a
// hash of the names, sizes and times of all streams.
var (
	signatureStream = utf16le("\x05DigitalSignature")
	extendedStream  = utf16le("\x05MsiDigitalSignatureEx")
)

func utf16le(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

type msi struct {
	*compound
	extended []byte // nil if there is none
}

// readMSI returns the package and its signature in DER.
func readMSI(ctx context.Context, r *reader) (msi, []byte, error) {
	c, err := readCompound(r)
	if err != nil {
		return msi{}, nil, err
	}
	m := msi{compound: c}
	var signature []byte
	for _, n := range c.root.items {
		own := bytes.Equal(n.name, signatureStream)
		if !own && !bytes.Equal(n.name, extendedStream) {
			continue
		}
		if n.kind != cfb.Stream || n.size > maxSignature {
			return m, nil, malformed("signature")
		}
		var b bytes.Buffer
		if err := c.copy(ctx, &b, n); err != nil {
			return m, nil, err
		}
		if own {
			signature = b.Bytes()
		} else {
			m.extended = append([]byte{}, b.Bytes()...)
		}
	}
	if len(signature) == 0 {
		return m, nil, refuse(ErrUnsigned, "the package has no signature")
	}
	der, err := alone(signature)
	return m, der, err
}

func (m msi) digest(ctx context.Context, h hash.Hash) error {
	if m.extended != nil {
		m.metadata(m.root, h)
		sum := h.Sum(nil)
		if subtle.ConstantTimeCompare(sum, m.extended) == 0 {
			return refuse(ErrMismatch, "its streams have other names, sizes or times than when it was signed")
		}
		h.Reset()
		h.Write(sum)
	}
	return m.contents(ctx, m.root, h)
}

// signed reports whether the signature is over an item: it cannot be over
// itself. Windows finds it in the root only, and a stream of that name elsewhere
// is like any other.
func (m msi) signed(in, n *node) bool {
	return in != m.root || !bytes.Equal(n.name, signatureStream) && !bytes.Equal(n.name, extendedStream)
}

// contents hashes all streams in order, and after each storage its class.
func (m msi) contents(ctx context.Context, storage *node, h hash.Hash) error {
	for _, n := range storage.items {
		if !m.signed(storage, n) {
			continue
		}
		var err error
		if n.kind == cfb.Storage {
			err = m.contents(ctx, n, h)
		} else {
			err = m.copy(ctx, h, n)
		}
		if err != nil {
			return err
		}
	}
	h.Write(storage.raw.Class())
	return nil
}

// metadata hashes the directory entries of a storage and of everything in it.
func (m msi) metadata(storage *node, h hash.Hash) {
	describe(storage, h)
	for _, n := range storage.items {
		switch {
		case !m.signed(storage, n):
		case n.kind == cfb.Storage:
			m.metadata(n, h)
		default:
			describe(n, h)
		}
	}
}

func describe(n *node, h hash.Hash) {
	if n.kind != cfb.Root {
		h.Write(n.name)
	}
	if n.kind == cfb.Stream {
		h.Write(n.raw[120:124]) // size
	} else {
		h.Write(n.raw.Class())
	}
	h.Write(n.raw[96:100]) // flags
	if n.kind != cfb.Root {
		h.Write(n.raw[100:116]) // times
	}
}
