package install

import (
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The parts of a version resource and of the directories above it.
const (
	versionType  = 16
	versionID    = 1
	fixedMark    = 0xFEEF04BD
	fixedSize    = 52
	alignment    = 4
	blockHeader  = 6
	stringsBlock = "StringFileInfo"
	textValue    = 1
	subdirectory = 1 << 31
)

// blockBytes makes a block of a version resource: a value, then blocks.
func blockBytes(key string, text bool, value []byte, children ...[]byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, blockHeader)
	for _, u := range append(utf16.Encode([]rune(key)), 0) {
		b = le.AppendUint16(b, u)
	}
	pad := func() {
		for len(b)%alignment != 0 {
			b = append(b, 0)
		}
	}
	pad()
	b = append(b, value...)
	for _, c := range children {
		pad()
		b = append(b, c...)
	}
	le.PutUint16(b, uint16(len(b)))
	le.PutUint16(b[2:], uint16(len(value)))
	if text {
		le.PutUint16(b[2:], uint16(len(value)/2))
		le.PutUint16(b[4:], textValue)
	}
	return b
}

func textBlock(key, value string) []byte {
	var b []byte
	for _, u := range append(utf16.Encode([]rune(value)), 0) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return blockBytes(key, true, b)
}

// versionResource makes one that has the number and the strings, in a second
// language after a first one that is empty.
func versionResource(number [4]uint16, strings ...[]byte) string {
	le := binary.LittleEndian
	fixed := make([]byte, fixedSize)
	le.PutUint32(fixed, fixedMark)
	le.PutUint32(fixed[8:], uint32(number[0])<<16|uint32(number[1]))
	le.PutUint32(fixed[12:], uint32(number[2])<<16|uint32(number[3]))
	return string(blockBytes("VS_VERSION_INFO", false, fixed,
		blockBytes("VarFileInfo", true, nil, blockBytes("Translation", false, []byte{0x19, 4, 0xB0, 4})),
		blockBytes(stringsBlock, true, nil, blockBytes("040904B0", true, nil, textBlock("Comments", "")), blockBytes("041904B0", true, nil, strings...)),
	))
}

func versioned(number [4]uint16, wide bool, flags uint16, strings ...[]byte) []byte {
	return fakePE{section: ".rsrc", resources: true, wide: wide, flags: flags, data: resource(versionType, versionID, versionResource(number, strings...))}.bytes()
}

func TestFileProbe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "Опека.exe")
	strings := [][]byte{textBlock("CompanyName", "Соц"), textBlock("ProductVersion", "7.04.100-beta.2"), textBlock("FileVersion", "")}
	number := [4]uint16{7, 4, 100, 0}
	damaged := versioned(number, false, 0, strings...)
	damaged[0x400+0x100] = 0xFF // it claims to be longer than it is
	unfixed := fakePE{section: ".rsrc", resources: true, data: resource(versionType, versionID, string(blockBytes("VS_VERSION_INFO", false, nil)))}.bytes()
	for _, c := range []struct {
		name         string
		data         []byte
		key          string
		version, err string
	}{
		{"R2's form", versioned(number, false, 0, strings...), "", "7.04.100", ""},
		{"64 bits", versioned([4]uint16{7, 12, 5, 0}, true, 0, strings...), "", "7.12.005", ""},
		{"a library", versioned([4]uint16{10, 123, 1200, 0}, true, 0x2000, strings...), "", "10.123.1200", ""},
		{"a fourth part", versioned([4]uint16{7, 4, 100, 3}, false, 0, strings...), "", "7.04.100.3", ""},
		{"a string", versioned(number, false, 0, strings...), "ProductVersion", "7.04.100-beta.2", ""},
		{"another case", versioned(number, false, 0, strings...), "productversion", "7.04.100-beta.2", ""},
		{"an empty string", versioned(number, false, 0, strings...), "FileVersion", "", "empty"},
		{"a missing string", versioned(number, false, 0, strings...), "SpecialBuild", "", `no string "SpecialBuild"`},
		{"no resource", fakePE{section: ".text", data: []byte("x")}.bytes(), "", "", "the version resource is missing"},
		{"damaged", damaged, "", "", "or damaged"},
		{"no number", unfixed, "", "", "numeric version"},
		{"not a program", []byte("#!/bin/sh\n"), "", "", "not a program"},
		{"empty", nil, "", "", "not a program"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, c.data, 0o600))
			got, err := FileProbe{Path: path, Key: c.key}.Version(t.Context())
			require.Equal(t, c.version, got)
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.err)
			require.ErrorContains(t, err, path)
			require.NotErrorIs(t, err, ErrFailed, "a file may be complete at the next query")
			require.NotErrorIs(t, err, ErrUnknownKind)
		})
	}
	_, err := FileProbe{Path: filepath.Dir(path)}.Version(t.Context())
	require.ErrorContains(t, err, "not a regular file")
	_, err = FileProbe{Path: path + ".none"}.Version(t.Context())
	require.ErrorIs(t, err, os.ErrNotExist)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = FileProbe{Path: path}.Version(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// buildNSIS makes an installer of testdata/setup.nsi.
func buildNSIS(t *testing.T, out, version string, defines ...string) {
	t.Helper()
	args := append([]string{"-V2", "-INPUTCHARSET", "UTF8", "-DVERSION=" + version, "-DOUT=" + out}, defines...)
	cmd := exec.Command(realtest.Program(t, "makensis"), append(args, filepath.Join("testdata", "setup.nsi"))...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8") // it reads its arguments by the locale
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
}

func TestFileProbeOfNSIS(t *testing.T) {
	for version, want := range map[string]string{"7.13.100": "7.13.100", "7.04.100": "7.04.100", "10.99.65535": "10.99.65535"} {
		exe := filepath.Join(t.TempDir(), "Установка "+version+".exe")
		buildNSIS(t, exe, version)
		for key, want := range map[string]string{"": want, "FileVersion": version, "ProductVersion": version + "-beta.2", "FileDescription": "Опека и попечительство"} {
			got, err := FileProbe{Path: exe, Key: key}.Version(t.Context())
			require.NoError(t, err, key)
			require.Equal(t, want, got, key)
		}
	}
}

// What demands an administrator in its script says so in its manifest.
func TestRightsOfNSIS(t *testing.T) {
	for level, needs := range map[string]bool{"user": false, "admin": true, "highest": false, "none": false} {
		exe := filepath.Join(t.TempDir(), level+".exe")
		buildNSIS(t, exe, "7.13.100", "-DLEVEL="+level)
		demands, err := fileAt(exe).requiresAdministrator()
		require.NoError(t, err)
		require.Equal(t, needs, demands, level)
		require.Equal(t, needs, Command{Path: exe, Kind: NSIS}.rights(fileAt(exe), never) != nil, level)
	}
}

func FuzzFileVersion(f *testing.F) {
	for _, data := range [][]byte{
		versioned([4]uint16{7, 4, 100, 0}, false, 0, textBlock("ProductVersion", "7.04.100")),
		versioned([4]uint16{7, 4, 100, 1}, true, 0x2000, textBlock("FileVersion", strings.Repeat("7", 300))),
		samples()["inno"],
	} {
		f.Add(data, int64(len(data)), "ProductVersion")
		f.Add(data, int64(1<<40), "")
	}
	f.Fuzz(func(t *testing.T, data []byte, size int64, key string) {
		c := &counter{head: data, size: size}
		version, err := headers{c, size}.version(key)
		if (version == "") != (err != nil) {
			t.Fatalf("%q, %v: neither a version nor an error, or both", version, err)
		}
		if len(version) > lineLimit {
			t.Fatalf("a version of %d bytes", len(version))
		}
		if c.read > 6*maxRead || c.reads > 20 {
			t.Fatalf("%d bytes in %d reads are not headers only", c.read, c.reads)
		}
	})
}
