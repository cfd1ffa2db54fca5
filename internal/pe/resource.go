package pe

import "encoding/binary"

const (
	subdirectory = 1 << 31 // marks the entry of a directory
	maxEntries   = 1024    // of a directory of resources that are read
	anyID        = -1      // stands for every number, and for names
)

// Resource returns the first bytes, at most limit of them, of the first resource
// of the type and with the number, in any language. It reads by the function
// that [Read] has; an error of it means that there is none.
func (f *File) Resource(read func(offset, n int64) ([]byte, error), typ, id, limit int64) ([]byte, bool) {
	if len(f.Directories) <= Resources || f.Directories[Resources].Address == 0 {
		return nil, false
	}
	base, ok := f.OffsetOf(f.Directories[Resources].Address)
	if !ok {
		return nil, false
	}
	leaf := uint32(0)
	for level, want := range []int64{typ, id, anyID} { // types, names, languages
		leaf, ok = resourceEntry(read, base, leaf, want)
		if !ok || leaf&subdirectory != 0 != (level < 2) {
			return nil, false
		}
		leaf &^= subdirectory
	}
	entry, err := read(base+int64(leaf), 16)
	if err != nil {
		return nil, false
	}
	at, ok := f.OffsetOf(binary.LittleEndian.Uint32(entry))
	if !ok {
		return nil, false
	}
	b, err := read(at, min(int64(binary.LittleEndian.Uint32(entry[4:])), limit))
	return b, err == nil
}

// resourceEntry returns the target of the entry id of the directory at off.
// base is the offset of the resources in the file.
func resourceEntry(read func(offset, n int64) ([]byte, error), base int64, off uint32, id int64) (uint32, bool) {
	head, err := read(base+int64(off), 16)
	if err != nil {
		return 0, false
	}
	named, numbered := int64(binary.LittleEndian.Uint16(head[12:])), int64(binary.LittleEndian.Uint16(head[14:]))
	at := base + int64(off) + 16
	if id != anyID {
		at += named * 8 // names come first
		named = 0
	}
	entries, err := read(at, min(named+numbered, maxEntries)*8)
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
