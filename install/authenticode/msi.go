package authenticode

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/asn1"
	"hash"

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

// utf16le encodes an ASCII text.
func utf16le(s string) (b []byte) {
	for _, c := range []byte(s) {
		b = append(b, c, 0)
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
	items := c.root.items
	c.root.items = nil // only those that the signature covers; it cannot cover itself
	for _, n := range items {
		own := bytes.Equal(n.name, signatureStream)
		if !own && !bytes.Equal(n.name, extendedStream) {
			c.root.items = append(c.root.items, n)
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
			m.extended = append([]byte{}, b.Bytes()...) // not nil
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

// contents hashes a stream, or all streams of a storage in order and then its
// class.
func (m msi) contents(ctx context.Context, n *node, h hash.Hash) error {
	if n.kind == cfb.Stream {
		return m.copy(ctx, h, n)
	}
	for _, item := range n.items {
		if err := m.contents(ctx, item, h); err != nil {
			return err
		}
	}
	h.Write(n.raw.Class())
	return nil
}

// metadata hashes the directory entries of n and of everything in it.
func (m msi) metadata(n *node, h hash.Hash) {
	name, kind, flags, times := n.name, n.raw.Class(), n.raw[96:100], n.raw[100:116]
	switch n.kind {
	case cfb.Root:
		name, times = nil, nil
	case cfb.Stream:
		kind = n.raw[120:124] // its size
	}
	for _, b := range [][]byte{name, kind, flags, times} {
		h.Write(b)
	}
	for _, item := range n.items {
		m.metadata(item, h)
	}
}
