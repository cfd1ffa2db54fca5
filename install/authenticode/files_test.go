package authenticode

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// noise is not compressible and the same each time.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// program returns a small Windows program of 32 or 64 bits: one section, and
// behind it data as an installer's payload is.
func program(wide bool) []byte {
	le := binary.LittleEndian
	b := make([]byte, 0x400)
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x80)
	h := b[0x80:]
	copy(h, "PE\x00\x00")
	machine, magic, optional, directories := uint16(0x14c), uint16(0x10b), 224, 92
	if wide {
		machine, magic, optional, directories = 0x8664, 0x20b, 240, 108
	}
	le.PutUint16(h[4:], machine)
	le.PutUint16(h[6:], 1) // sections
	le.PutUint16(h[20:], uint16(optional))
	le.PutUint16(h[22:], 0x102)
	o := h[24:]
	le.PutUint16(o, magic)
	le.PutUint32(o[32:], 0x1000) // alignment in memory
	le.PutUint32(o[36:], 0x200)  // and in the file
	le.PutUint32(o[56:], 0x2000) // image
	le.PutUint32(o[60:], 0x400)  // headers
	le.PutUint16(o[68:], 3)
	le.PutUint32(o[directories:], 16)
	section := o[optional:]
	copy(section, ".text")
	le.PutUint32(section[8:], 0x1000)
	le.PutUint32(section[12:], 0x1000)
	le.PutUint32(section[16:], 0x1000)
	le.PutUint32(section[20:], 0x400)
	le.PutUint32(section[36:], 0x60000020)
	return append(b, noise(0x1000+5001)...)
}

func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, b, 0o600))
	return path
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// installer builds an MSI that has large and small streams.
func installer(t testing.TB) string {
	t.Helper()
	wixl := realtest.Program(t, "wixl")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "payload.bin"), noise(30_000), 0o600))
	source := filepath.Join(dir, "product.wxs")
	require.NoError(t, os.WriteFile(source, []byte(`<?xml version="1.0" encoding="utf-8"?>
<Wix xmlns="http://schemas.microsoft.com/wix/2006/wi">
  <Product Id="*" Name="Product" Language="1033" Version="7.13.100" Manufacturer="Vendor" UpgradeCode="41ba2c43-5b7c-4e4b-9d3c-2f8a3c1b7f10">
    <Package InstallerVersion="200" Compressed="yes"/>
    <Media Id="1" Cabinet="payload.cab" EmbedCab="yes"/>
    <Directory Id="TARGETDIR" Name="SourceDir"><Directory Id="INSTALLDIR" Name="Product">
      <Component Id="Payload" Guid="5c1f6b0e-6f0d-4c4e-8a64-6e1c5d7a9b21"><File Id="Payload" Source="payload.bin" KeyPath="yes"/></Component>
    </Directory></Directory>
    <Feature Id="Main" Level="1"><ComponentRef Id="Payload"/></Feature>
  </Product>
</Wix>
`), 0o600))
	out := filepath.Join(dir, "product.msi")
	cmd := exec.Command(wixl, "-o", out, source)
	cmd.Dir = dir // sources are named relative to it
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
	return out
}

// flipped returns a copy with other bits in one byte.
func flipped(b []byte, i int) []byte {
	c := bytes.Clone(b)
	c[i] ^= 0xa5
	return c
}
