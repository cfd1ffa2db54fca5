// Package cfb reads the header and the directory's entries of compound files
// ([MS-CFB]), of which an MSI package is one. It exists because detection and
// signatures need the same few fields of files that cannot be trusted.
package cfb

import (
	"encoding/binary"
	"errors"
)

// Magic begins a compound file.
const Magic = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

// HeaderSize and EntrySize are in bytes.
const (
	HeaderSize = 512
	EntrySize  = 128
)

// ErrDamaged is the error of a header that is not one of a compound file.
var ErrDamaged = errors.New("the compound file's header is damaged")

// A Header is the beginning of a file.
type Header struct {
	Raw       []byte // [HeaderSize] bytes, unchecked but for those below
	Sector    int64  // bytes of a sector: 512 or 4096
	Directory uint32 // the first sector of the directory
}

// ParseHeader reads the first bytes of a file, [HeaderSize] or more.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize || string(b[:len(Magic)]) != Magic {
		return Header{}, ErrDamaged
	}
	shift := binary.LittleEndian.Uint16(b[30:])
	if shift != 9 && shift != 12 {
		return Header{}, ErrDamaged
	}
	return Header{Raw: b[:HeaderSize], Sector: 1 << shift, Directory: binary.LittleEndian.Uint32(b[48:])}, nil
}

// Offset returns where a sector is in the file: the header is in the place of
// sector -1.
func (h Header) Offset(sector uint32) int64 { return (int64(sector) + 1) * h.Sector }

// Kinds of entries.
const (
	Storage = 1 // a directory
	Stream  = 2 // a file
	Root    = 5
)

// An Entry is one of the directory: [EntrySize] bytes.
type Entry []byte

// Kind returns what the entry is.
func (e Entry) Kind() byte { return e[66] }

// Class returns the 16 bytes of the entry's CLSID.
func (e Entry) Class() []byte { return e[80:96] }
