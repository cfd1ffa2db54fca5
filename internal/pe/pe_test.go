package pe

import (
	"debug/pe"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var errCut = errors.New("cut short")

func readerOf(b []byte) func(offset, n int64) ([]byte, error) {
	return func(offset, n int64) ([]byte, error) {
		if offset < 0 || n < 0 || offset > int64(len(b)) || n > int64(len(b))-offset {
			return nil, errCut
		}
		return b[offset:][:n], nil
	}
}

// program makes the headers of one with a section at 0x200 in the file.
func program(wide bool) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0x200)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	le.PutUint16(b[0x46:], 1)
	magic, size, count := uint16(0x10b), 224, 92
	if wide {
		magic, size, count = 0x20b, 240, 108
	}
	le.PutUint16(b[0x54:], uint16(size))
	le.PutUint16(b[0x56:], Executable)
	optional := b[0x58:]
	le.PutUint16(optional, magic)
	le.PutUint32(optional[count:], 16)
	le.PutUint32(optional[count+4+8*Resources:], 0x1010)
	le.PutUint32(optional[count+4+8*Security:], 0x400)
	le.PutUint32(optional[count+8+8*Security:], 0x10)
	section := optional[size:]
	copy(section, ".rsrc")
	le.PutUint32(section[12:], 0x1000)
	le.PutUint32(section[16:], 0x100)
	le.PutUint32(section[20:], 0x200)
	return b
}

func TestRead(t *testing.T) {
	for wide, at := range map[bool]int64{false: 0x58 + 96, true: 0x58 + 112} {
		f, err := Read(readerOf(program(wide)))
		require.NoError(t, err)
		require.EqualValues(t, 0x40, f.Start)
		require.EqualValues(t, Executable, f.Flags)
		require.EqualValues(t, 0x58+64, f.Checksum())
		require.Len(t, f.Directories, 16)
		require.Equal(t, Directory{Offset: at + 8*Security, Address: 0x400, Size: 0x10}, f.Directories[Security])
		require.Equal(t, []Section{{Name: ".rsrc", Address: 0x1000, Offset: 0x200, Size: 0x100}}, f.Sections)
		offset, ok := f.OffsetOf(f.Directories[Resources].Address)
		require.True(t, ok)
		require.EqualValues(t, 0x210, offset)
		for _, outside := range []uint32{0, 0xfff, 0x1100} {
			_, ok = f.OffsetOf(outside)
			require.False(t, ok)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	change := func(at int, b ...byte) []byte {
		p := program(false)
		copy(p[at:], b)
		return p
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"nothing":                {nil, errCut},
		"cut in the DOS header":  {program(false)[:0x3f], errCut},
		"a program for DOS":      {change(0x40, 'N', 'E'), ErrNotWindows},
		"a header behind it all": {change(0x3c, 0xff, 0xff), errCut},
		"an unknown format":      {change(0x58, 0x07, 0x01), ErrDamaged},
		"no optional header":     {change(0x54, 0, 0), ErrDamaged},
		"no sections":            {change(0x46, 0, 0), ErrDamaged},
		"97 sections":            {change(0x46, 97, 0), ErrDamaged},
		"cut in the sections":    {program(false)[:0x58+224+39], errCut},
		"cut in the directories": {program(false)[:0x58+100], errCut},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(readerOf(c.data))
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestDirectoriesFitIntoTheOptionalHeader(t *testing.T) {
	b := program(false)
	b[0x54] = 92 + 4 + 2*8 + 7 // the optional header ends within the third
	copy(b[0x58+92+4+2*8+7:], b[0x58+224:][:40])
	f, err := Read(readerOf(b))
	require.NoError(t, err)
	require.Len(t, f.Directories, 2)
}

// The standard library's reader is the judge of a real program.
func TestReadARealProgram(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not in PATH")
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\nfunc main() {}\n"), 0o600))
	path := filepath.Join(dir, "main.exe")
	cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", path, "main.go")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0", "GOWORK=off", "GO111MODULE=off")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	file, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	f, err := Read(func(offset, n int64) ([]byte, error) {
		return io.ReadAll(io.NewSectionReader(file, offset, n))
	})
	require.NoError(t, err)
	want, err := pe.NewFile(file)
	require.NoError(t, err)
	require.Equal(t, want.Characteristics, f.Flags)
	require.Len(t, f.Sections, len(want.Sections))
	for i, s := range want.Sections {
		require.Equal(t, Section{Name: s.Name, Address: s.VirtualAddress, Offset: s.Offset, Size: s.Size, Memory: s.VirtualSize}, f.Sections[i])
	}
	optional := want.OptionalHeader.(*pe.OptionalHeader64)
	require.Len(t, f.Directories, int(optional.NumberOfRvaAndSizes))
	for i, d := range f.Directories {
		require.Equal(t, optional.DataDirectory[i], pe.DataDirectory{VirtualAddress: d.Address, Size: d.Size})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(program(false))
	f.Add(program(true))
	f.Add(program(true)[:0x100])
	f.Fuzz(func(t *testing.T, b []byte) {
		reads := 0
		read := readerOf(b)
		p, err := Read(func(offset, n int64) ([]byte, error) {
			if reads++; n > 64<<10 || reads > 4 {
				t.Fatalf("reads %d bytes at %d, the %dth time", n, offset, reads)
			}
			return read(offset, n)
		})
		if err != nil {
			if !errors.Is(err, errCut) && !errors.Is(err, ErrNotWindows) && !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if len(p.Sections) == 0 || len(p.Sections) > maxSections {
			t.Fatalf("%d sections", len(p.Sections))
		}
		for _, d := range p.Directories {
			if _, err := read(d.Offset, 8); err != nil {
				t.Fatalf("a directory at %d is outside of the file", d.Offset)
			}
			_, _ = p.OffsetOf(d.Address)
		}
		v, _ := p.Version(read)
		_, _ = v.Text("ProductVersion")
	})
}

func TestEnd(t *testing.T) {
	f := &File{Sections: []Section{{Offset: 0x200, Size: 0x200}, {Offset: 0x400, Size: 0x200, Memory: 0x123}, {Size: 0x1000, Memory: 0x1000}}}
	require.EqualValues(t, 0x523, f.End(), "without what fills up, and what is only in memory")
	f.Sections[1].Memory = 0x1000
	require.EqualValues(t, 0x600, f.End())
	f.Directories = make([]Directory, Security+1)
	require.EqualValues(t, 0x600, f.End())
	f.Directories[Security] = Directory{Address: 0x600, Size: 0x88}
	require.EqualValues(t, 0x688, f.End())
}
