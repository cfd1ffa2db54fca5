package install

import (
	"bytes"
	"encoding/binary"
)

// A program for Windows as far as its headers tell: enough to find what the
// makers of installers leave in it. The standard library's debug/pe reads
// tables that may be as large as the file.

// peSection is a piece of the file and where it lies in memory.
type peSection struct {
	name             string
	rva, virtualSize uint32
	off, size        uint32
}

const maxSections = 96 // Windows loads no more

// peFile is what the headers tell.
type peFile struct {
	library   bool
	sections  []peSection
	resources uint32 // where they lie in memory; 0 if there are none
}

// pe tells the kind of a program for Windows.
func (f headers) pe() (Kind, error) {
	p, err := f.peHeaders()
	if err != nil {
		return "", err
	}
	if p.library {
		return "", unknown("it is a library for Windows (DLL), no program")
	}
	end := int64(0) // of what Windows loads; an installer's payload follows
	for _, s := range p.sections {
		if s.name == ".wixburn" {
			return Burn, nil
		}
		end = max(end, int64(s.off)+int64(s.size))
	}
	if f.inno(p) {
		return Inno, nil
	}
	if f.nsis(end) {
		return NSIS, nil
	}
	return Plain, nil
}

// peHeaders reads the headers of a program or library.
func (f headers) peHeaders() (p peFile, err error) {
	dos, err := f.read(0, 64)
	if err != nil {
		return p, unknown("it begins like a program for Windows, but is cut short")
	}
	at := int64(binary.LittleEndian.Uint32(dos[0x3c:]))
	head, err := f.read(at, 24)
	if err != nil || string(head[:4]) != "PE\x00\x00" {
		return p, unknown("it is a program for DOS, or damaged")
	}
	count := binary.LittleEndian.Uint16(head[6:])
	optSize := int64(binary.LittleEndian.Uint16(head[20:]))
	flags := binary.LittleEndian.Uint16(head[22:])
	switch {
	case flags&0x0002 == 0:
		return p, unknown("it is no finished program for Windows")
	case count == 0 || count > maxSections:
		return p, unknown("its header is damaged")
	}
	opt, err := f.read(at+24, optSize)
	if err != nil {
		return p, err
	}
	if p.resources, err = resourceDirectory(opt); err != nil {
		return p, err
	}
	table, err := f.read(at+24+optSize, int64(count)*40)
	if err != nil {
		return p, err
	}
	for b := table; len(b) >= 40; b = b[40:] {
		p.sections = append(p.sections, peSection{
			name:        string(bytes.TrimRight(b[:8], "\x00")),
			virtualSize: binary.LittleEndian.Uint32(b[8:]), rva: binary.LittleEndian.Uint32(b[12:]),
			size: binary.LittleEndian.Uint32(b[16:]), off: binary.LittleEndian.Uint32(b[20:]),
		})
	}
	p.library = flags&0x2000 != 0
	return p, nil
}

// resourceDirectory reads the third data directory; 0 means that there is none.
func resourceDirectory(opt []byte) (uint32, error) {
	if len(opt) < 2 {
		return 0, unknown("its header is damaged")
	}
	var at int // of the number of directories, which precedes them
	switch binary.LittleEndian.Uint16(opt) {
	case 0x10b: // 32 bits
		at = 92
	case 0x20b: // 64 bits
		at = 108
	default:
		return 0, unknown("its header is damaged")
	}
	if len(opt) < at+4+3*8 || binary.LittleEndian.Uint32(opt[at:]) < 3 {
		return 0, nil
	}
	return binary.LittleEndian.Uint32(opt[at+4+2*8:]), nil
}

// inno reports whether the program has the table by which a setup of Inno
// finds its own data: resource 11111 of the type RCDATA.
func (f headers) inno(p peFile) bool {
	const (
		rcdata = 10
		table  = 11111
		magic  = "rDlPtS\xcd\xe6\xd7\x7b\x0b\x2a"
	)
	b, ok := f.resource(p, rcdata, table, int64(len(magic)))
	return ok && string(b) == magic
}

// resource returns the first bytes, at most limit of them, of a resource in
// whatever language.
func (f headers) resource(p peFile, typ, id, limit int64) ([]byte, bool) {
	base, ok := fileOffset(p.sections, p.resources)
	if !ok || p.resources == 0 {
		return nil, false
	}
	names, ok := f.resourceEntry(base, 0, typ)
	if !ok || names&subfolder == 0 {
		return nil, false
	}
	languages, ok := f.resourceEntry(base, names&^subfolder, id)
	if !ok || languages&subfolder == 0 {
		return nil, false
	}
	leaf, ok := f.resourceEntry(base, languages&^subfolder, anyID)
	if !ok || leaf&subfolder != 0 {
		return nil, false
	}
	entry, err := f.read(base+int64(leaf), 16)
	if err != nil {
		return nil, false
	}
	at, ok := fileOffset(p.sections, binary.LittleEndian.Uint32(entry))
	if !ok {
		return nil, false
	}
	b, err := f.read(at, min(int64(binary.LittleEndian.Uint32(entry[4:])), limit))
	return b, err == nil
}

const (
	subfolder  = 1 << 31 // marks an entry that leads to a folder
	anyID      = -1
	maxEntries = 1024 // of a folder of resources that are looked at
)

// resourceEntry returns where the entry id of the folder at off leads. base is
// where the resources begin in the file.
func (f headers) resourceEntry(base int64, off uint32, id int64) (uint32, bool) {
	head, err := f.read(base+int64(off), 16)
	if err != nil {
		return 0, false
	}
	named, numbered := int64(binary.LittleEndian.Uint16(head[12:])), int64(binary.LittleEndian.Uint16(head[14:]))
	at := base + int64(off) + 16
	if id != anyID {
		at += named * 8 // names come first
		named = 0
	}
	entries, err := f.read(at, min(named+numbered, maxEntries)*8)
	if err != nil {
		return 0, false
	}
	for ; len(entries) >= 8; entries = entries[8:] {
		if id == anyID || int64(binary.LittleEndian.Uint32(entries)) == id {
			return binary.LittleEndian.Uint32(entries[4:]), true
		}
	}
	return 0, false
}

// fileOffset tells where in the file an address in memory comes from.
func fileOffset(sections []peSection, rva uint32) (int64, bool) {
	for _, s := range sections {
		if rva >= s.rva && rva-s.rva < s.size {
			return int64(s.off) + int64(rva-s.rva), true
		}
	}
	return 0, false
}

// nsis reports whether the payload begins as that of NSIS does. NSIS looks
// for it in steps of 512 bytes, and so do we, a short way.
func (f headers) nsis(end int64) bool {
	const magic = "\xef\xbe\xad\xdeNullsoftInst"
	at := (end + 511) &^ 511
	b, err := f.read(at, min(maxRead, max(f.size-at, 0)))
	if err != nil {
		return false
	}
	for ; len(b) >= 4+len(magic); b = b[min(512, len(b)):] {
		if string(b[4:4+len(magic)]) == magic {
			return true
		}
	}
	return false
}
