package cfb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

const sector = 512

var errCut = errors.New("cut short")

func readerOf(b []byte) func(offset, n int64) ([]byte, error) {
	return func(offset, n int64) ([]byte, error) {
		if offset < 0 || n < 0 || offset > int64(len(b)) || n > int64(len(b))-offset {
			return nil, errCut
		}
		return bytes.Clone(b[offset:][:n]), nil
	}
}

// sample makes a file with a stream of small sectors, which are in the reverse order, and one of
// whole ones. Of the eight sectors 0 is the table, 1 and 2 the directory, 3 the table of the small
// ones, 5 and 4 these, and 7 and 6 the large stream, which goes on in the first sector again.
func sample() []byte {
	le := binary.LittleEndian
	b := make([]byte, 9*sector)
	copy(b, Magic)
	le.PutUint16(b[30:], 9)
	le.PutUint32(b[48:], 1)
	le.PutUint32(b[60:], 3)
	le.PutUint32(b[68:], 0xfffffffe)
	at := func(s int) []byte { return b[(s+1)*sector:][:sector] }
	for s, next := range []uint32{0xfffffffd, 2, 0xfffffffe, 0xfffffffe, 0xfffffffe, 4, 0xfffffffe, 6} {
		le.PutUint32(at(0)[4*s:], next)
	}
	entry := func(b []byte, name string, kind byte, start, size uint32) {
		for i := range len(name) {
			b[2*i] = name[i]
		}
		le.PutUint16(b[64:], uint16(2*len(name)+2))
		b[66] = kind
		le.PutUint32(b[116:], start)
		le.PutUint32(b[120:], size)
	}
	entry(at(1), "Root Entry", Root, 5, 2*sector)
	entry(at(1)[EntrySize:], "small", Storage, 0, 0) // not what is looked for
	entry(at(2), "small", Stream, 9, 3*miniSector-10)
	entry(at(2)[EntrySize:], "large", Stream, 7, miniCutoff)
	for s, next := range map[int]uint32{9: 8, 8: 0, 0: 0xfffffffe} {
		le.PutUint32(at(3)[4*s:], next)
	}
	copy(at(4)[miniSector:], bytes.Repeat([]byte("1"), miniSector)) // small sector 9
	copy(at(4), bytes.Repeat([]byte("2"), miniSector))              // 8
	copy(at(5), bytes.Repeat([]byte("3"), miniSector))              // 0
	copy(at(7), bytes.Repeat([]byte("a"), sector))
	copy(at(6), bytes.Repeat([]byte("b"), sector))
	return b
}

func TestReadStream(t *testing.T) {
	b := sample()
	got, err := ReadStream(readerOf(b), "small", 1000)
	require.NoError(t, err)
	require.Equal(t, string(bytes.Repeat([]byte("1"), 64))+string(bytes.Repeat([]byte("2"), 64))+string(bytes.Repeat([]byte("3"), 54)), string(got))
	got, err = ReadStream(readerOf(b), "small", 65)
	require.NoError(t, err)
	require.Equal(t, string(bytes.Repeat([]byte("1"), 64))+"2", string(got))
	got, err = ReadStream(readerOf(b), "large", 2*sector)
	require.NoError(t, err)
	require.Equal(t, string(bytes.Repeat([]byte("a"), sector))+string(bytes.Repeat([]byte("b"), sector)), string(got))

	_, err = ReadStream(readerOf(b), "smal", 1000)
	require.ErrorIs(t, err, ErrNoStream)
	_, err = ReadStream(readerOf(b), "large", miniCutoff)
	require.ErrorIs(t, err, errCut, "its chain ends too early")
	_, err = ReadStream(readerOf(b[:100]), "small", 1000)
	require.ErrorIs(t, err, errCut)
	_, err = ReadStream(readerOf(make([]byte, 9*sector)), "small", 1000)
	require.ErrorIs(t, err, ErrDamaged)
}

// A directory whose chain is a circle ends the search.
func TestReadStreamInACircle(t *testing.T) {
	b := sample()
	binary.LittleEndian.PutUint32(b[sector+4*2:], 1)
	_, err := ReadStream(readerOf(b), "none", 10)
	require.ErrorIs(t, err, ErrDamaged)
}

// The last sector in use is the end; what cannot be read is none.
func TestEnd(t *testing.T) {
	b := sample()
	binary.LittleEndian.PutUint32(b[44:], 1)
	copy(b[sector+4*8:], bytes.Repeat([]byte{0xff}, sector-4*8))
	end, err := End(readerOf(b))
	require.NoError(t, err)
	require.EqualValues(t, len(b)-sector+1, end, "in the last one")
	again, err := End(readerOf(b[:len(b)-sector]))
	require.NoError(t, err)
	require.Equal(t, end, again, "also where it is missing")
	binary.LittleEndian.PutUint32(b[44:], 0xffffffff)
	_, err = End(readerOf(b))
	require.Error(t, err)
	binary.LittleEndian.PutUint32(b[44:], 0)
	end, err = End(readerOf(b))
	require.NoError(t, err)
	require.Zero(t, end)
}

func FuzzReadStream(f *testing.F) {
	f.Add(sample(), "small")
	f.Add(sample(), "large")
	f.Add(sample()[:5*sector], "none")
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		reads := 0
		read := readerOf(b)
		got, err := ReadStream(func(offset, n int64) ([]byte, error) {
			if reads++; n > 4096 || reads > maxReads+1 {
				t.Fatalf("reads %d bytes at %d, the %dth time", n, offset, reads)
			}
			return read(offset, n)
		}, name, 1000)
		if err == nil && len(got) > 1000 {
			t.Fatalf("%d bytes", len(got))
		}
		if end, err := End(read); err == nil && end < 0 {
			t.Fatalf("ends at %d", end)
		}
	})
}
