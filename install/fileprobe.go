package install

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// A FileProbe reads the version of a program or library for Windows from the
// file's version resource, on any system. That shows which files are installed,
// not that the application works: use it as the Then of an [HTTPProbe] or a
// [TCPProbe].
type FileProbe struct {
	Path string
	// Key is the name of the resource's string with the version, such as
	// "ProductVersion" or "FileVersion". Empty is the file's numeric version in
	// the form of R2: 7.4.100.0 is 7.04.100. A fourth part that is not zero is
	// appended.
	Key string
}

// Version implements [Probe].
func (p FileProbe) Version(ctx context.Context) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	var version string
	err := withHeaders(p.Path, func(f headers) (err error) { version, err = f.version(p.Key); return err })
	if err != nil {
		return "", fmt.Errorf("cannot read the version of the file %s: %w", p.Path, err)
	}
	return version, nil
}

const (
	versionType  = 16 // of resources
	versionID    = 1
	fixedMark    = 0xFEEF04BD
	fixedSize    = 52
	alignment    = 4
	blockHeader  = 6
	stringsBlock = "StringFileInfo"
	textValue    = 1
)

// version returns the string named key of the version resource, or the
// number of the file if key is empty.
func (f headers) version(key string) (string, error) {
	p, err := f.peHeaders()
	if errors.Is(err, ErrUnknownKind) {
		return "", errors.New("not a program or library for Windows, or damaged")
	}
	if err != nil {
		return "", err
	}
	b, ok := f.resource(p, versionType, versionID, maxRead)
	root, _, whole := nextBlock(b)
	if !ok || !whole || root.key != "VS_VERSION_INFO" {
		return "", errors.New("the version resource is missing or damaged")
	}
	if key != "" {
		text, ok := root.text(key)
		if !ok {
			return "", fmt.Errorf("the version resource has no string %q", key)
		}
		return firstLine([]byte(text))
	}
	le := binary.LittleEndian
	if len(root.value) < fixedSize || le.Uint32(root.value) != fixedMark {
		return "", errors.New("the version resource has no numeric version; set Key to the name of one of its strings")
	}
	high, low := le.Uint32(root.value[8:]), le.Uint32(root.value[12:])
	version := fmt.Sprintf("%d.%02d.%03d", high>>16, high&0xFFFF, low>>16)
	if build := low & 0xFFFF; build != 0 {
		version += fmt.Sprintf(".%d", build)
	}
	return version, nil
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
	first.key = string(decodeUTF16(b[blockHeader:end]))
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

// text returns the string named key in the first language that has it.
func (root block) text(key string) (text string, found bool) {
	for info := range blocks(root.children) {
		if info.key != stringsBlock {
			continue
		}
		for language := range blocks(info.children) {
			for s := range blocks(language.children) {
				if strings.EqualFold(s.key, key) {
					value, _, _ := bytes.Cut(decodeUTF16(s.value), []byte{0})
					return string(value), true
				}
			}
		}
	}
	return "", false
}
