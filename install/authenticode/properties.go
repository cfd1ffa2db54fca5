package authenticode

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/aspupdate/aspupdate/internal/cfb"
)

// maxDatabase bounds each of the streams below; real ones have some 100 KiB.
const maxDatabase = 16 << 20

// states reads the properties ProductVersion and ProductName. A package is a
// database: a table is a stream with its columns one after the other, of numbers
// of texts, which are in two streams of their own.
func (m msi) states() stated {
	pool, data, table := m.table("_StringPool"), m.table("_StringData"), m.table("Property")
	if len(pool) < 4 {
		return stated{}
	}
	width := 2
	if pool[3]&0x80 != 0 {
		width = 3
	}
	rows := len(table) / (2 * width)
	text := texts(pool, data)
	at := func(cell int) string {
		n := 0
		for i, b := range table[cell*width:][:width] {
			n |= int(b) << (8 * i)
		}
		if n >= len(text) {
			return ""
		}
		return text[n]
	}
	var s stated
	for row := range rows {
		switch value := strings.TrimSpace(at(rows + row)); {
		case value == "":
		case at(row) == "ProductVersion":
			s.version = value
		case at(row) == "ProductName":
			s.names = append(s.names, value)
		}
	}
	return s
}

// texts returns the texts of a package by their numbers. The pool has the length
// of each, and how often it is used; a length that does not fit in 16 bits is in
// the next entry.
func texts(pool, data []byte) []string {
	le := binary.LittleEndian
	list := []string{""}
	for p := pool[4:]; len(p) >= 4; p = p[4:] {
		n := int(le.Uint16(p))
		if uses := le.Uint16(p[2:]); n == 0 && uses != 0 && len(p) >= 8 {
			n = int(le.Uint32(p[4:]))
			p = p[4:]
		}
		if n > len(data) {
			break
		}
		list, data = append(list, string(data[:n])), data[n:]
	}
	return list
}

// table returns the contents of a table's stream, nil if there is none.
func (m msi) table(name string) []byte {
	i := slices.IndexFunc(m.root.items, func(n *node) bool { return n.kind == cfb.Stream && bytes.Equal(n.name, tableName(name)) })
	if i < 0 || m.root.items[i].size > maxDatabase {
		return nil
	}
	var b bytes.Buffer
	if err := m.copy(context.Background(), &b, m.root.items[i]); err != nil {
		return nil
	}
	return b.Bytes()
}

// tableName encodes the name of a table as a stream has it: a mark, and then
// two characters in each unit.
func tableName(name string) (b []byte) {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._"
	digit := func(i int) int { return strings.IndexByte(digits, name[i]) }
	units := []int{0x4840}
	for ; len(name) >= 2; name = name[2:] {
		units = append(units, 0x3800+digit(0)+digit(1)<<6)
	}
	if len(name) == 1 {
		units = append(units, 0x4800+digit(0))
	}
	for _, u := range units {
		b = append(b, byte(u), byte(u>>8)) //nolint:gosec // they have 16 bits
	}
	return b
}
