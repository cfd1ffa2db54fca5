package cfb

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

func header(version, shift uint16) []byte {
	le := binary.LittleEndian
	b := make([]byte, HeaderSize)
	copy(b, Magic)
	le.PutUint16(b[26:], version)
	le.PutUint16(b[28:], 0xfffe)
	le.PutUint16(b[30:], shift)
	le.PutUint16(b[32:], 6)
	for i, at := range []int{48, 56, 60, 64, 68, 76} {
		le.PutUint32(b[at:], uint32(i+1))
	}
	return b
}

func TestParseHeader(t *testing.T) {
	b := header(3, 9)
	h, err := ParseHeader(b)
	require.NoError(t, err)
	require.Equal(t, Header{Version: 3, ByteOrder: 0xfffe, Sector: 512, MiniShift: 6,
		Directory: 1, Cutoff: 2, Minis: 3, MiniCount: 4, NextTable: 5, Table: b[76:]}, h)
	require.EqualValues(t, 512, h.Offset(0))
	require.EqualValues(t, 3*512, h.Offset(2))
	require.EqualValues(t, int64(1)<<32*512, h.Offset(0xffffffff), "no overflow")

	h, err = ParseHeader(append(header(4, 12), "more"...))
	require.NoError(t, err)
	require.EqualValues(t, 4096, h.Sector)
	require.EqualValues(t, 2*4096, h.Offset(1))
}

func TestParseHeaderRefuses(t *testing.T) {
	magic := header(3, 9)
	magic[0]++
	for name, b := range map[string][]byte{
		"nothing": nil, "cut short": header(3, 9)[:HeaderSize-1], "another magic": magic,
		"sectors of 256 bytes": header(3, 8), "a huge shift": header(3, 0xffff),
	} {
		_, err := ParseHeader(b)
		require.ErrorIs(t, err, ErrDamaged, name)
	}
}

func TestEntry(t *testing.T) {
	b := make([]byte, EntrySize)
	b[66] = Root
	copy(b[80:], "the class's ID..")
	require.EqualValues(t, Root, Entry(b).Kind())
	require.Equal(t, "the class's ID..", string(Entry(b).Class()))
}

func FuzzParseHeader(f *testing.F) {
	f.Add(header(3, 9))
	f.Add(header(4, 12))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err == nil && (h.Sector != 512 && h.Sector != 4096 || len(h.Table) != HeaderSize-76 || h.Offset(0xffffffff) <= 0) {
			t.Fatalf("%+v", h)
		}
	})
}
