package cfb

import (
	"encoding/binary"
	"errors"
	"unicode/utf16"
)

const (
	endOfChain = 0xfffffffa // and all above it: no sector has such a number
	inHeader   = 109        // sectors of the table that the header lists
	miniSector = 64         // bytes of a small sector
	miniCutoff = 4096       // streams below this size are in small sectors

	maxReads = 20_000 // of a file whose chains may be circular
)

// ErrNoStream means that the directory has no such stream.
var ErrNoStream = errors.New("the compound file has no such stream")

// ReadStream returns the first bytes, at most limit of them, of the first stream with that name.
// It calls read for one sector at most, which returns n bytes at the offset or an error, and
// passes its errors on. It is for a few bytes of a file; nothing else of it is checked. A file
// for which it would need too many reads is [ErrDamaged].
func ReadStream(read func(offset, n int64) ([]byte, error), name string, limit int64) ([]byte, error) {
	b, err := read(0, HeaderSize)
	if err != nil {
		return nil, err
	}
	h, err := ParseHeader(b)
	if err != nil {
		return nil, err
	}
	f := &file{Header: h, read: read}
	root, stream, err := f.find(name)
	if err != nil {
		return nil, err
	}
	size := min(limit, int64(binary.LittleEndian.Uint32(stream[120:])))
	start := binary.LittleEndian.Uint32(stream[116:])
	if binary.LittleEndian.Uint32(stream[120:]) >= miniCutoff {
		return f.copy(start, size, f.Sector, f.next, func(s uint32) (int64, error) { return f.Offset(s), nil })
	}
	minis := binary.LittleEndian.Uint32(f.Raw[60:])
	small := binary.LittleEndian.Uint32(root[116:])
	return f.copy(start, size, miniSector, func(s uint32) (uint32, error) {
		at, err := f.within(minis, int64(s)*4)
		if err != nil {
			return 0, err
		}
		return f.number(at)
	}, func(s uint32) (int64, error) { return f.within(small, int64(s)*miniSector) })
}

type file struct {
	Header
	read  func(offset, n int64) ([]byte, error)
	reads int
}

func (f *file) at(offset, n int64) ([]byte, error) {
	if f.reads++; f.reads > maxReads {
		return nil, ErrDamaged
	}
	return f.read(offset, n)
}

// find returns the entries of the root and of the stream.
func (f *file) find(name string) (root, stream Entry, err error) {
	var want []byte
	for _, u := range utf16.Encode([]rune(name)) {
		want = append(want, byte(u), byte(u>>8)) //nolint:gosec // it has 16 bits
	}
	sector := f.Directory
	for sector < endOfChain {
		b, err := f.at(f.Offset(sector), f.Sector)
		if err != nil {
			return nil, nil, err
		}
		for ; len(b) >= EntrySize; b = b[EntrySize:] {
			e := Entry(b[:EntrySize])
			if root == nil {
				root = e
			}
			if e.Kind() == Stream && int(binary.LittleEndian.Uint16(e[64:])) == len(want)+2 && string(e[:len(want)]) == string(want) {
				return root, e, nil
			}
		}
		if sector, err = f.next(sector); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, ErrNoStream
}

// copy reads size bytes of a chain of sectors.
func (f *file) copy(start uint32, size, sector int64, next func(uint32) (uint32, error), offset func(uint32) (int64, error)) (all []byte, err error) {
	for s := start; int64(len(all)) < size; {
		at, err := offset(s)
		if err != nil {
			return nil, err
		}
		b, err := f.at(at, min(sector, size-int64(len(all))))
		if err != nil {
			return nil, err
		}
		if all = append(all, b...); int64(len(all)) == size {
			break
		}
		if s, err = next(s); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// within returns where in the file the byte at an offset of a chain is.
func (f *file) within(start uint32, off int64) (int64, error) {
	for off >= f.Sector {
		var err error
		if start, err = f.next(start); err != nil {
			return 0, err
		}
		off -= f.Sector
	}
	return f.Offset(start) + off, nil
}

// next returns the sector that follows in its chain.
func (f *file) next(sector uint32) (uint32, error) {
	perSector := f.Sector / 4
	table, err := f.table(int64(sector) / perSector)
	if err != nil {
		return 0, err
	}
	return f.number(f.Offset(table) + 4*(int64(sector)%perSector))
}

// table returns the sector with that part of the table of all chains.
func (f *file) table(i int64) (uint32, error) {
	perSector := f.Sector / 4
	var at int64
	if i < inHeader {
		at = 76 + 4*i
	} else {
		i -= inHeader
		list := binary.LittleEndian.Uint32(f.Raw[68:])
		for i >= perSector-1 { // the last of each list is the next list
			var err error
			if list, err = f.number(f.Offset(list) + 4*(perSector-1)); err != nil {
				return 0, err
			}
			i -= perSector - 1
		}
		at = f.Offset(list) + 4*i
	}
	return f.number(at)
}

// End returns how large a file must be at least: where its last sector that is in use begins, as
// some programs do not fill that up. It is 0 if the header does not say. It calls read as
// [ReadStream] does.
func End(read func(offset, n int64) ([]byte, error)) (int64, error) {
	const unused = 0xffffffff
	b, err := read(0, HeaderSize)
	if err != nil {
		return 0, err
	}
	h, err := ParseHeader(b)
	if err != nil {
		return 0, err
	}
	f := &file{Header: h, read: read}
	for i := int64(binary.LittleEndian.Uint32(h.Raw[44:])) - 1; i >= 0; i-- {
		table, err := f.table(i)
		if err != nil {
			return 0, err
		}
		b, err := f.at(f.Offset(table), f.Sector)
		if err != nil {
			return 0, err
		}
		for at := len(b) - 4; at >= 0; at -= 4 {
			if binary.LittleEndian.Uint32(b[at:]) != unused {
				return f.Offset(uint32(i*f.Sector/4)+uint32(at/4)) + 1, nil //nolint:gosec // a sector's number has 32 bits
			}
		}
	}
	return 0, nil
}

func (f *file) number(at int64) (uint32, error) {
	b, err := f.at(at, 4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}
