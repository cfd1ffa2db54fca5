package cfb

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

func header(shift uint16) []byte {
	b := make([]byte, HeaderSize)
	copy(b, Magic)
	binary.LittleEndian.PutUint16(b[30:], shift)
	b[48] = 1
	return b
}

func TestParseHeader(t *testing.T) {
	b := header(9)
	h, err := ParseHeader(b)
	require.NoError(t, err)
	require.Equal(t, Header{Raw: b, Sector: 512, Directory: 1}, h)
	require.EqualValues(t, 512, h.Offset(0))
	require.EqualValues(t, 3*512, h.Offset(2))
	require.EqualValues(t, int64(1)<<32*512, h.Offset(0xffffffff), "no overflow")

	h, err = ParseHeader(append(header(12), "more"...))
	require.NoError(t, err)
	require.EqualValues(t, 4096, h.Sector)
	require.EqualValues(t, 2*4096, h.Offset(1))
}

func TestParseHeaderRefuses(t *testing.T) {
	magic := header(9)
	magic[0]++
	for name, b := range map[string][]byte{
		"nothing": nil, "cut short": header(9)[:HeaderSize-1], "another magic": magic,
		"sectors of 256 bytes": header(8), "a huge shift": header(0xffff),
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
	f.Add(header(9))
	f.Add(header(12))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err == nil && (h.Sector != 512 && h.Sector != 4096 || len(h.Raw) != HeaderSize || h.Offset(0xffffffff) <= 0) {
			t.Fatalf("%+v", h)
		}
	})
}
