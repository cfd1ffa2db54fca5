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

// A Header is what the file says of itself. Only its sector size was checked.
type Header struct {
	Version   uint16 // 3 or 4
	ByteOrder uint16 // 0xfffe
	Sector    int64  // bytes of a sector: 512 or 4096
	MiniShift uint16 // 6: small sectors have 64 bytes
	Cutoff    uint32 // streams below this size are in small sectors
	Directory uint32 // the first sector of the directory
	Minis     uint32 // the first sector of the table of small sectors
	MiniCount uint32 // how many sectors that table has
	NextTable uint32 // the first sector that continues Table
	Table     []byte // numbers of the sectors that hold the table of sectors
}

// ParseHeader reads the first bytes of a file, [HeaderSize] or more.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize || string(b[:len(Magic)]) != Magic {
		return Header{}, ErrDamaged
	}
	le := binary.LittleEndian
	shift := le.Uint16(b[30:])
	if shift != 9 && shift != 12 {
		return Header{}, ErrDamaged
	}
	return Header{
		Version: le.Uint16(b[26:]), ByteOrder: le.Uint16(b[28:]), Sector: 1 << shift, MiniShift: le.Uint16(b[32:]),
		Directory: le.Uint32(b[48:]), Cutoff: le.Uint32(b[56:]), Minis: le.Uint32(b[60:]), MiniCount: le.Uint32(b[64:]),
		NextTable: le.Uint32(b[68:]), Table: b[76:HeaderSize],
	}, nil
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
