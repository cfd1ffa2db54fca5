package authenticode

import (
	"bytes"
	"context"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"strings"

	"github.com/aspupdate/aspupdate/internal/pe"
)

// oidPE marks the signature of a program.
var oidPE = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}

const (
	maxPEHeader  = 1 << 20  // where a PE header may begin; real ones are within a few KiB
	maxSignature = 16 << 20 // of a signature; real ones have some 10 KiB
)

// A portable is a Windows program (PE). The signature covers all of the
// file but the header's checksum, the header's pointer to the signature, and
// the signature itself, which is the end of the file.
type portable struct {
	r        *reader
	file     *pe.File
	checksum int64 // offset of 4 bytes
	pointer  int64 // offset of 8 bytes
	table    int64 // offset of the signature's table
}

// readPE returns the program and its signature in DER.
func readPE(r *reader) (portable, []byte, error) {
	p := portable{r: r}
	f, err := pe.Read(r.bytes)
	p.file = f
	if refusal, ok := errors.AsType[*Error](err); ok {
		return p, nil, refusal // of the reader: the file is too short
	}
	switch {
	case errors.Is(err, pe.ErrNotWindows):
		return p, nil, refuse(ErrUnsigned, "the program is not for Windows")
	case errors.Is(err, pe.ErrDamaged):
		return p, nil, refuse(ErrMismatch, "the header is damaged")
	case err != nil:
		return p, nil, err
	case f.Start > maxPEHeader:
		return p, nil, refuse(ErrMismatch, "the PE header is out of place")
	case len(f.Directories) <= pe.Security:
		return p, nil, refuse(ErrUnsigned, "the header has no entry for a signature")
	}
	signature := f.Directories[pe.Security]
	p.checksum, p.pointer, p.table = f.Checksum(), signature.Offset, int64(signature.Address)
	size := int64(signature.Size)
	switch {
	case p.table == 0 && size == 0:
		return p, nil, refuse(ErrUnsigned, "the program has no signature")
	case p.table < p.pointer+8 || p.table%8 != 0 || size < 8 || size > maxSignature:
		return p, nil, refuse(ErrMismatch, "the signature is out of place")
	case p.table+size != r.size:
		return p, nil, refuse(ErrMismatch, "the signature is not at the end of the file")
	}
	der, err := p.certificate(size)
	return p, der, err
}

// certificate returns the signature in the table. Windows ignores what follows a
// signature unless EnableCertPaddingCheck is set, so that an attacker can put
// data there which the vendor's own program then trusts (CVE-2013-3900). Here
// only the zeros of an alignment may follow.
func (p portable) certificate(size int64) ([]byte, error) {
	table, err := p.r.bytes(p.table, size)
	if err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(table))
	const revision2, pkcs7SignedData = 0x0200, 2
	if binary.LittleEndian.Uint16(table[4:]) != revision2 || binary.LittleEndian.Uint16(table[6:]) != pkcs7SignedData {
		return nil, refuse(ErrMismatch, "the signature is of an unknown kind")
	}
	der, err := alone(table[8:])
	if err != nil {
		return nil, err
	}
	// The length is that of the signature, with the zeros behind it or without.
	if n := int64(len(der)) + 8; length != n && length != (n+7)/8*8 || size != length && size != (length+7)/8*8 {
		return nil, refuse(ErrMismatch, "the size of the signature does not match its table")
	}
	return der, nil
}

// alone returns the DER value in b, which only up to seven zeros may follow.
func alone(b []byte) ([]byte, error) {
	var v asn1.RawValue
	rest, err := asn1.Unmarshal(b, &v)
	if err != nil {
		return nil, refuse(ErrMismatch, "cannot read the signature: %v", err)
	}
	if len(rest) > 7 || len(bytes.Trim(rest, "\x00")) > 0 {
		return nil, refuse(ErrMismatch, "data follows the signature")
	}
	return v.FullBytes, nil
}

// versionPattern matches three numbers in a text, of which some builders write
// "9, 23, 100, 0".
var versionPattern = regexp.MustCompile(`\d+[.,] ?\d+[.,] ?\d+`)

// states reads the version resource.
func (p portable) states() (s stated) {
	v, ok := p.file.Version(p.r.bytes)
	if !ok {
		return s
	}
	text := func(key string) string { t, _ := v.Text(key); return strings.TrimSpace(t) } // some builders pad it
	number := func(n pe.Number) string { return fmt.Sprintf("%d.%d.%d.%d", n[0], n[1], n[2], n[3]) }
	for _, t := range []string{text("ProductVersion"), number(v.Product), text("FileVersion"), number(v.File)} {
		if versionPattern.MatchString(t) && strings.Trim(t, "0., ") != "" {
			s.version = t
			break
		}
	}
	for _, key := range []string{"ProductName", "OriginalFilename", "InternalName", "FileDescription"} {
		if t := text(key); t != "" {
			s.names = append(s.names, t)
		}
	}
	return s
}

func (p portable) digest(ctx context.Context, h hash.Hash) error {
	from := int64(0)
	for _, to := range [][2]int64{{p.checksum, 4}, {p.pointer, 8}, {p.table, 0}} {
		if err := p.r.copy(ctx, h, from, to[0]-from); err != nil {
			return err
		}
		from = to[0] + to[1]
	}
	return nil
}

// A reader reads a file whose headers may be wrong.
type reader struct {
	io.ReaderAt
	size int64
}

// within returns an error for a range outside of the file.
func (r *reader) within(offset, n int64) error {
	if offset < 0 || n < 0 || offset > r.size || n > r.size-offset {
		return refuse(ErrMismatch, "the file ends before what its header names")
	}
	return nil
}

func (r *reader) bytes(offset, n int64) ([]byte, error) {
	if err := r.within(offset, n); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	_, err := io.ReadFull(io.NewSectionReader(r.ReaderAt, offset, n), b)
	return b, err
}

// copy copies a range of the file, until the context ends.
func (r *reader) copy(ctx context.Context, w io.Writer, offset, n int64) error {
	if err := r.within(offset, n); err != nil {
		return err
	}
	const chunk = 1 << 20
	for ; n > 0; offset, n = offset+chunk, n-chunk {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := min(n, chunk)
		if _, err := io.CopyN(w, io.NewSectionReader(r.ReaderAt, offset, part), part); err != nil {
			return err
		}
	}
	return nil
}
