package install

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakePE makes the headers of a program for Windows with one section at 0x400
// in the file and 0x1000 in memory. What makes Inno Setup and Burn known is
// made up here: no installer of theirs could be had.
type fakePE struct {
	wide      bool   // 64 bits
	section   string // its name
	data      []byte // of the section
	resources bool   // the section is the resources
	flags     uint16
	overlay   []byte
}

func (p fakePE) bytes() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0x400)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	copy(b[0x80:], "PE\x00\x00")
	le.PutUint16(b[0x86:], 1)
	magic, optSize, count := uint16(0x10b), 224, 92
	if p.wide {
		magic, optSize, count = 0x20b, 240, 108
	}
	le.PutUint16(b[0x94:], uint16(optSize))
	le.PutUint16(b[0x96:], p.flags|0x0002)
	opt := b[0x98:]
	le.PutUint16(opt, magic)
	le.PutUint32(opt[count:], 16)
	if p.resources {
		le.PutUint32(opt[count+4+16:], 0x1000)
	}
	size := (len(p.data) + 511) &^ 511
	s := opt[optSize:]
	copy(s[:8], p.section)
	le.PutUint32(s[8:], uint32(len(p.data)))
	le.PutUint32(s[12:], 0x1000)
	le.PutUint32(s[16:], uint32(size))
	le.PutUint32(s[20:], 0x400)
	b = append(b, p.data...)
	b = append(b, make([]byte, size-len(p.data))...)
	return append(b, p.overlay...)
}

// resource makes a section of one resource, with others before it.
func resource(typ, id uint32, data string) []byte {
	le := binary.LittleEndian
	directory := func(off int, b []byte, entries ...uint32) {
		le.PutUint16(b[off+14:], uint16(len(entries)/2))
		for i, e := range entries {
			le.PutUint32(b[off+16+4*i:], e)
		}
	}
	b := make([]byte, 0x100)
	directory(0, b, 3, subdirectory|0xC0, typ, subdirectory|0x40)
	directory(0x40, b, 2, subdirectory|0xC0, id, subdirectory|0x80)
	directory(0x80, b, 0x409, 0xA0)
	le.PutUint32(b[0xA0:], 0x1000+0x100)
	le.PutUint32(b[0xA4:], uint32(len(data)))
	return append(b, data...)
}

const innoTable = "rDlPtS\xcd\xe6\xd7\x7b\x0b\x2a\x01\x00\x00\x00"

// compoundFile makes the headers of one with the root's class at its place.
func compoundFile(class byte) []byte {
	b := make([]byte, 4*512)
	copy(b, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
	binary.LittleEndian.PutUint16(b[0x1e:], 9)
	binary.LittleEndian.PutUint32(b[0x30:], 1)
	root := b[2*512:]
	root[66] = 5
	copy(root[80:], "\x00\x10\x0c\x00\x00\x00\x00\x00\xc0\x00\x00\x00\x00\x00\x00\x46")
	root[80] = class
	return b
}

// samples are files by what is detected of each: a kind, or a piece of the
// complaint.
func samples() map[string][]byte {
	nsis := append(make([]byte, 512), "\x00\x00\x00\x00\xef\xbe\xad\xdeNullsoftInst"...)
	elf := make([]byte, 64)
	copy(elf, "\x7fELF\x02\x01\x01")
	elf[16] = 3
	object := bytes.Clone(elf)
	object[16] = 1
	return map[string][]byte{
		"plain":                            fakePE{section: ".text", data: []byte("x")}.bytes(),
		"plain 64":                         fakePE{section: ".text", wide: true, data: []byte("x"), overlay: []byte("a payload")}.bytes(),
		"plain elf":                        elf,
		"burn":                             fakePE{section: ".wixburn", data: []byte("x")}.bytes(),
		"inno":                             fakePE{section: ".rsrc", resources: true, data: resource(10, 11111, innoTable)}.bytes(),
		"inno 64":                          fakePE{section: ".rsrc", wide: true, resources: true, data: resource(10, 11111, innoTable)}.bytes(),
		"plain with another resource":      fakePE{section: ".rsrc", resources: true, data: resource(10, 11111, "something else")}.bytes(),
		"plain with another id":            fakePE{section: ".rsrc", resources: true, data: resource(10, 11112, innoTable)}.bytes(),
		"plain with another type":          fakePE{section: ".rsrc", resources: true, data: resource(11, 11111, innoTable)}.bytes(),
		"nsis":                             fakePE{section: ".text", overlay: nsis[512:]}.bytes(),
		"nsis further on":                  fakePE{section: ".text", overlay: nsis}.bytes(),
		"plain off the steps":              fakePE{section: ".text", overlay: nsis[500:]}.bytes(),
		"msi":                              compoundFile(0x84),
		"deb":                              []byte("!<arch>\ndebian-binary   1342943816  0     0     100644  4         `\n2.0\ndata.tar        0           0     0     100644  0         `\n"),
		"script":                           []byte("#!/bin/sh\nexit 0\n"),
		"makeself":                         []byte("#!/bin/sh\n# This script was generated using Makeself 2.4.5\n\nexit\n"),
		"rpm":                              append([]byte("\xed\xab\xee\xdb\x03\x00\x00\x00"), make([]byte, 100)...),
		"script of one line":               []byte("#! /usr/bin/env bash"),
		"?(DLL)":                           fakePE{section: ".text", flags: 0x2000}.bytes(),
		"?a program for DOS":               append([]byte("MZ"), make([]byte, 100)...),
		"?truncated":                       []byte("MZ"),
		"?not a program":                   object,
		"?patches (.msp)":                  compoundFile(0x86),
		"?transform (.mst)":                compoundFile(0x82),
		"?not an MSI package":              compoundFile(0x06),
		"?is truncated, or its":            compoundFile(0x84)[:1100],
		"?a zip archive":                   []byte("PK\x03\x04rest"),
		"?RPM package is truncated":        []byte("\xed\xab\xee\xdb\x03\x00"),
		"?RPM package of sources":          append([]byte("\xed\xab\xee\xdb\x03\x00\x00\x01"), make([]byte, 100)...),
		"?not a Debian package":            []byte("!<arch>\nfoo.o/          "),
		"?a byte order mark":               []byte("\xef\xbb\xbf#!/bin/sh\n"),
		"?dos2unix":                        []byte("#!/bin/sh\r\necho\r\n"),
		"?has no program with an absolute": []byte("#!sh\n"),
		"?line is too long":                []byte("#!/" + strings.Repeat("x", 300)),
		"?not plain text":                  []byte("#!/bin/\x1b[31msh\n"),
		"?is empty":                        {},
		"?not that of an installer":        []byte("<html>404</html>"),
	}
}

func TestDetect(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "Установка 7")
	for want, data := range samples() {
		t.Run(want, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, data, 0o600))
			kind, err := Detect(path)
			complaint, bad := strings.CutPrefix(want, "?")
			if !bad {
				require.NoError(t, err)
				word, _, _ := strings.Cut(want, " ")
				require.Equal(t, Kind(word), kind)
				return
			}
			require.Empty(t, kind)
			require.ErrorIs(t, err, ErrUnknownKind)
			require.ErrorContains(t, err, complaint)
			require.ErrorContains(t, err, "set the Kind")
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.Equal(t, "detect", e.Op)
			require.Equal(t, path, e.Subject)
		})
	}
	_, err := Detect(filepath.Join(dir, "nothing"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NotErrorIs(t, err, ErrUnknownKind)
	_, err = Detect(dir)
	require.ErrorContains(t, err, "not a regular file")
}

// A counter is a file of any size, of which it counts what is read.
type counter struct {
	head  []byte
	size  int64
	read  int64
	reads int
}

func (c *counter) ReadAt(p []byte, off int64) (int, error) {
	c.read += int64(len(p))
	c.reads++
	if off >= c.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), c.size-off))
	clear(p[:n])
	if off < int64(len(c.head)) {
		copy(p[:n], c.head[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func TestDetectReadsHeadersOnly(t *testing.T) {
	for name, data := range samples() {
		c := &counter{head: data, size: max(int64(len(data)), 8<<30)}
		_, _ = detect(c, c.size)
		require.LessOrEqual(t, c.read, int64(3*maxRead), name)
		require.LessOrEqual(t, c.reads, 16, name)
	}
	broken := errors.New("the disk is broken")
	_, err := detect(failing{broken}, 100)
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, ErrUnknownKind)
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func FuzzDetect(f *testing.F) {
	for _, data := range samples() {
		f.Add(data, int64(len(data)))
		f.Add(data, int64(1<<40))
	}
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		c := &counter{head: data, size: size}
		kind, err := detect(c, size)
		if (kind == "") != (err != nil) {
			t.Fatalf("%q, %v: neither a kind nor an error, or both", kind, err)
		}
		if err != nil && !errors.Is(err, ErrUnknownKind) {
			t.Fatalf("%v says nothing about the file", err)
		}
		if c.read > 6*maxRead || c.reads > 20 {
			t.Fatalf("%d bytes in %d reads are not headers only", c.read, c.reads)
		}
		if _, err := kind.codes(); err != nil && kind != "" {
			t.Fatal(err)
		}
	})
}

func TestDetectThisProgram(t *testing.T) {
	exe, err := os.Executable()
	require.NoError(t, err)
	kind, err := Detect(exe)
	require.NoError(t, err)
	require.Equal(t, Plain, kind, runtime.GOOS)
}
