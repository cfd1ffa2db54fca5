// Package pe reads the headers of programs for Windows ("Portable
// Executable"). It exists because detection and signatures need the same few
// fields of files that cannot be trusted; the standard library's debug/pe
// reads tables that may be as large as the file.
package pe

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// The causes of errors, apart from those of the reader.
var (
	ErrNotWindows = errors.New("a program for DOS, or damaged")
	ErrDamaged    = errors.New("the program's header is damaged")
)

// Flags of a [File].
const (
	Executable = 0x0002 // the file is linked completely
	Library    = 0x2000 // the file is a DLL
)

// Indexes of directories.
const (
	Resources = 2
	Security  = 4  // signatures
	Managed   = 14 // .NET
)

const maxSections = 96 // as many as Windows loads

// A File has the contents of a program's headers, which were not compared with
// the size of the file.
type File struct {
	Start       int64  // where the PE header is in the file
	Machine     uint16 // the processors it was made for
	Flags       uint16
	Directories []Directory
	Sections    []Section
}

// A Directory is an entry of the table of data directories.
type Directory struct {
	Offset        int64 // of this entry in the file
	Address, Size uint32
}

// A Section is a part of the file and its place in memory.
type Section struct {
	Name         string
	Address      uint32 // in memory, relative to the program
	Offset, Size uint32 // in the file
	Memory       uint32 // the size in memory
}

// Checksum returns the offset of the four bytes of the checksum.
func (f *File) Checksum() int64 { return f.Start + fileHeader + 64 }

// End returns how large the file must be at least: where the last section ends, without what only
// fills it up, and where the signatures do.
func (f *File) End() (end int64) {
	for _, s := range f.Sections {
		size := s.Size
		if s.Memory > 0 {
			size = min(size, s.Memory)
		}
		if s.Offset > 0 { // otherwise it is not in the file
			end = max(end, int64(s.Offset)+int64(size))
		}
	}
	if len(f.Directories) > Security {
		d := f.Directories[Security] // its address is that in the file
		end = max(end, int64(d.Address)+int64(d.Size))
	}
	return end
}

// OffsetOf returns where in the file an address in memory comes from.
func (f *File) OffsetOf(address uint32) (int64, bool) {
	for _, s := range f.Sections {
		if address >= s.Address && address-s.Address < s.Size {
			return int64(s.Offset) + int64(address-s.Address), true
		}
	}
	return 0, false
}

const fileHeader = 4 + 20 // bytes of the magic and the file header; the optional header follows

// Read reads the headers. It calls read for at most 64 KiB at a time, which
// returns n bytes at the offset or an error, and passes its errors on.
func Read(read func(offset, n int64) ([]byte, error)) (*File, error) {
	le := binary.LittleEndian
	dos, err := read(0, 64)
	if err != nil {
		return nil, err
	}
	f := &File{Start: int64(le.Uint32(dos[0x3c:]))}
	head, err := read(f.Start, fileHeader)
	if err != nil {
		return nil, err
	}
	if string(head[:4]) != "PE\x00\x00" {
		return nil, ErrNotWindows
	}
	f.Machine, f.Flags = le.Uint16(head[4:]), le.Uint16(head[22:])
	optional, err := read(f.Start+fileHeader, int64(le.Uint16(head[20:])))
	if err != nil {
		return nil, err
	}
	if err := f.readDirectories(optional); err != nil {
		return nil, err
	}
	count := int64(le.Uint16(head[6:]))
	if count == 0 || count > maxSections {
		return nil, ErrDamaged
	}
	table, err := read(f.Start+fileHeader+int64(len(optional)), count*40)
	if err != nil {
		return nil, err
	}
	for b := table; len(b) >= 40; b = b[40:] {
		f.Sections = append(f.Sections, Section{
			Name:   string(bytes.TrimRight(b[:8], "\x00")),
			Memory: le.Uint32(b[8:]), Address: le.Uint32(b[12:]), Size: le.Uint32(b[16:]), Offset: le.Uint32(b[20:]),
		})
	}
	return f, nil
}

// readDirectories reads the table at the end of the optional header.
func (f *File) readDirectories(optional []byte) error {
	if len(optional) < 2 {
		return ErrDamaged
	}
	// The number of directories precedes them: in programs of 32 and of 64 bits.
	at, known := map[uint16]int{0x10b: 92, 0x20b: 108}[binary.LittleEndian.Uint16(optional)]
	if !known {
		return ErrDamaged
	}
	if len(optional) < at+4 {
		return nil
	}
	count := binary.LittleEndian.Uint32(optional[at:])
	for at += 4; count > 0 && len(optional) >= at+8; at, count = at+8, count-1 {
		f.Directories = append(f.Directories, Directory{
			Offset:  f.Start + fileHeader + int64(at),
			Address: binary.LittleEndian.Uint32(optional[at:]), Size: binary.LittleEndian.Uint32(optional[at+4:]),
		})
	}
	return nil
}
