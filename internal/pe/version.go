package pe

import (
	"bytes"
	"encoding/binary"
	"iter"
	"strings"
	"unicode/utf16"
)

const (
	versionType  = 16 // of the resource
	versionID    = 1
	maxVersion   = 64 << 10 // bytes of it; real ones have some 1 KiB
	fixedMark    = 0xFEEF04BD
	fixedSize    = 52
	alignment    = 4
	blockHeader  = 6
	stringsBlock = "StringFileInfo"
	textValue    = 1
)

// A Version is a program's version resource (VS_VERSIONINFO): what it states
// about itself for people.
type Version struct {
	File, Product Number // both zero if there are no numbers
	root          block
}

// A Number has four parts.
type Number [4]uint16

// Version reads the resource by the function that [Read] has; ok is false if it
// is missing or damaged.
func (f *File) Version(read func(offset, n int64) ([]byte, error)) (v Version, ok bool) {
	b, ok := f.Resource(read, versionType, versionID, maxVersion)
	root, _, whole := nextBlock(b)
	if !ok || !whole || root.key != "VS_VERSION_INFO" {
		return v, false
	}
	v.root = root
	if le := binary.LittleEndian; len(root.value) >= fixedSize && le.Uint32(root.value) == fixedMark {
		for i, at := range []int{10, 8, 14, 12} { // each half of 32 bits has the lower part first
			v.File[i], v.Product[i] = le.Uint16(root.value[at:]), le.Uint16(root.value[at+8:])
		}
	}
	return v, true
}

// Text returns the string named key, in any case, of the first language that has it.
func (v Version) Text(key string) (text string, found bool) {
	for info := range blocks(v.root.children) {
		if info.key != stringsBlock {
			continue
		}
		for language := range blocks(info.children) {
			for s := range blocks(language.children) {
				if strings.EqualFold(s.key, key) {
					value, _, _ := bytes.Cut([]byte(decodeUTF16(s.value)), []byte{0})
					return string(value), true
				}
			}
		}
	}
	return "", false
}

// A block is a piece of a version resource: a key, a value, and more blocks.
type block struct {
	key      string
	value    []byte
	children []byte
}

// nextBlock returns the first block of b and what follows it. whole is false if
// there is none, or if its size is larger than b.
func nextBlock(b []byte) (first block, rest []byte, whole bool) {
	if len(b) < blockHeader {
		return block{}, nil, false
	}
	le := binary.LittleEndian
	size, valueSize := int(le.Uint16(b)), int(le.Uint16(b[2:]))
	if size < blockHeader || size > len(b) {
		return block{}, nil, false
	}
	if le.Uint16(b[4:]) == textValue {
		valueSize *= 2
	}
	rest = b[min(aligned(size), len(b)):]
	b = b[:size]
	end := blockHeader
	for end+2 <= size && (b[end] != 0 || b[end+1] != 0) {
		end += 2
	}
	first.key = decodeUTF16(b[blockHeader:end])
	value := min(aligned(end+2), size)
	after := min(value+valueSize, size) // some compilers count the bytes of a text, not its characters
	first.value = b[value:after]
	first.children = b[min(aligned(after), size):]
	return first, rest, true
}

func aligned(n int) int { return (n + alignment - 1) &^ (alignment - 1) }

// blocks returns the blocks in b.
func blocks(b []byte) iter.Seq[block] {
	return func(yield func(block) bool) {
		for {
			first, rest, whole := nextBlock(b)
			if !whole || !yield(first) {
				return
			}
			b = rest
		}
	}
}

func decodeUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}
