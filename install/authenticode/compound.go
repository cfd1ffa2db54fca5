package authenticode

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"slices"

	"github.com/aspupdate/aspupdate/internal/cfb"
)

// A compound is a compound file ([MS-CFB]), such as an MSI package: a file system
// in a file. Every number in it is checked against the size of the file before
// anything is allocated or followed: sectors may be missing, chains and
// directories may be circular.
type compound struct {
	cfb.Header
	r     *reader
	high  bool // sizes have 64 bits
	fat   []uint32
	minis []uint32
	small []uint32 // the sectors that hold the small ones
	root  *node

	dir  []byte
	seen []bool // the entries of dir that a node has used
	left int64  // bytes of the file that no stream has used
}

// A node is a stream or a storage, which is a directory.
type node struct {
	name  []byte // UTF-16, little endian, without the terminator
	raw   cfb.Entry
	kind  byte
	start uint32
	size  int64
	items []*node // of a storage, in the order of a signature
}

const (
	endOfChain = 0xfffffffe
	free       = 0xffffffff
	none       = 0xffffffff // no such entry

	miniSector = 64   // bytes of a small sector
	miniCutoff = 4096 // streams below this size are in small sectors

	maxTable = 16 << 20 // of the directory; it has 128 bytes for each stream
	maxDepth = 32       // of storages in storages; an MSI has one level, a transform in it two
)

func readCompound(r *reader) (*compound, error) {
	b, err := r.bytes(0, cfb.HeaderSize)
	if err != nil {
		return nil, err
	}
	h, err := cfb.ParseHeader(b)
	le := binary.LittleEndian
	if err != nil || le.Uint16(b[28:]) != 0xfffe || le.Uint16(b[32:]) != 6 || le.Uint32(b[56:]) != miniCutoff {
		return nil, malformed("header")
	}
	c := &compound{Header: h, r: r}
	version := le.Uint16(b[26:])
	if c.high = version == 4; h.Sector != map[uint16]int64{3: 512, 4: 4096}[version] {
		return nil, malformed("version")
	}
	if err := c.readFAT(); err != nil {
		return nil, err
	}
	if le.Uint32(b[64:]) > 0 {
		t, err := c.table(le.Uint32(b[60:]))
		if err != nil {
			return nil, err
		}
		c.minis = numbers(t)
	}
	return c, c.readTree(h.Directory)
}

func malformed(what string) error { return refuse(ErrMismatch, "the %s is damaged", what) }

// sectors returns the number of sectors in the file, including a partial one.
func (c *compound) sectors() int { return int((c.r.size - 1) / c.Sector) }

// readFAT reads the table of what sector follows which. The sectors of the
// table itself are listed in the header, and then in a chain of sectors.
func (c *compound) readFAT() error {
	list := numbers(c.Raw[76:])
	perSector := int(c.Sector / 4)
	for next, n := binary.LittleEndian.Uint32(c.Raw[68:]), 0; next < endOfChain; n++ {
		if n > c.sectors() {
			return malformed("table of sectors")
		}
		b, err := c.at(next)
		if err != nil {
			return err
		}
		more := numbers(b)
		list, next = append(list, more[:perSector-1]...), more[perSector-1]
	}
	last := -1
	for _, s := range list {
		if s == free {
			continue
		}
		if len(c.fat) > c.sectors() {
			return malformed("table of sectors")
		}
		b, err := c.at(s)
		if err != nil {
			return err
		}
		for _, next := range numbers(b) {
			if next != free {
				last = len(c.fat)
			}
			c.fat = append(c.fat, next)
		}
	}
	// Windows ignores appended data, another program may not: a Java archive
	// after an MSI still starts (CVE-2020-1464).
	if c.r.size > int64(last+2)*c.Sector {
		return refuse(ErrMismatch, "data follows the last sector")
	}
	return nil
}

// at reads one whole sector.
func (c *compound) at(sector uint32) ([]byte, error) { return c.r.bytes(c.Offset(sector), c.Sector) }

// chain returns the first n sectors of a chain; with n < 0 all of it.
func chain(fat []uint32, start uint32, n int) ([]uint32, error) {
	var list []uint32
	for s := start; n < 0 && s != endOfChain || len(list) < n; s = fat[s] {
		if int64(s) >= int64(len(fat)) || len(list) > len(fat) {
			return nil, malformed("chain of sectors")
		}
		list = append(list, s)
	}
	return list, nil
}

// table reads all the sectors of a chain.
func (c *compound) table(start uint32) ([]byte, error) {
	list, err := chain(c.fat, start, -1)
	if err != nil {
		return nil, err
	}
	if int64(len(list))*c.Sector > maxTable {
		return nil, malformed("directory")
	}
	var all []byte
	for _, s := range list {
		b, err := c.at(s)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

func numbers(b []byte) []uint32 {
	list := make([]uint32, len(b)/4)
	for i := range list {
		list[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return list
}

// readTree builds the storages and streams from the directory.
func (c *compound) readTree(start uint32) (err error) {
	if c.dir, err = c.table(start); err != nil {
		return err
	}
	c.seen, c.left = make([]bool, len(c.dir)/cfb.EntrySize), c.r.size
	if c.root, err = c.node(0); err != nil {
		return err
	}
	if c.root.kind != cfb.Root {
		return malformed("directory")
	}
	if c.small, err = chain(c.fat, c.root.start, sectorsFor(c.root.size, c.Sector)); err != nil {
		return err
	}
	return c.fill(c.root, 0)
}

func sectorsFor(size, sector int64) int { return int((size + sector - 1) / sector) }

// node reads entry i of the directory, which nothing else may refer to.
func (c *compound) node(i uint32) (*node, error) {
	if int64(i) >= int64(len(c.seen)) || c.seen[i] {
		return nil, malformed("directory")
	}
	c.seen[i] = true
	le := binary.LittleEndian
	raw := cfb.Entry(c.dir[cfb.EntrySize*int(i):][:cfb.EntrySize])
	length := int(le.Uint16(raw[64:]))
	n := &node{raw: raw, kind: raw.Kind(), start: le.Uint32(raw[116:]), size: int64(le.Uint32(raw[120:]))}
	if c.high {
		n.size |= int64(le.Uint32(raw[124:])) << 32
	}
	if n.kind == cfb.Storage {
		n.size = 0
	}
	if length < 2 || length > 64 || length%2 != 0 || n.size < 0 || n.size > c.left {
		return nil, malformed("directory")
	}
	n.name = raw[:length-2]
	if n.kind != cfb.Root { // those of the root are the small sectors, counted with their streams
		c.left -= n.size
	}
	return n, nil
}

// fill collects the items of a storage, which are a binary tree.
func (c *compound) fill(storage *node, depth int) error {
	if depth > maxDepth {
		return malformed("directory")
	}
	le := binary.LittleEndian
	for todo := []uint32{le.Uint32(storage.raw[76:])}; len(todo) > 0; {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if i == none {
			continue
		}
		n, err := c.node(i)
		if err != nil {
			return err
		}
		if n.kind != cfb.Storage && n.kind != cfb.Stream {
			return malformed("directory")
		}
		storage.items = append(storage.items, n)
		todo = append(todo, le.Uint32(n.raw[68:]), le.Uint32(n.raw[72:]))
	}
	slices.SortFunc(storage.items, func(a, b *node) int { return bytes.Compare(a.name, b.name) })
	for i, n := range storage.items {
		if i > 0 && bytes.Equal(n.name, storage.items[i-1].name) {
			return malformed("directory")
		}
		if n.kind == cfb.Storage {
			if err := c.fill(n, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy writes the contents of a stream.
func (c *compound) copy(ctx context.Context, w io.Writer, n *node) error {
	size, fat, sector := n.size, c.fat, c.Sector
	if size < miniCutoff {
		fat, sector = c.minis, miniSector
	}
	list, err := chain(fat, n.start, sectorsFor(size, sector))
	if err != nil {
		return err
	}
	for len(list) > 0 {
		offset, err := c.offset(list[0], sector)
		if err != nil {
			return err
		}
		run := 1 // consecutive sectors are read at once
		for sector == c.Sector && run < len(list) && list[run] == list[run-1]+1 {
			run++
		}
		part := min(size, int64(run)*sector)
		if err := c.r.copy(ctx, w, offset, part); err != nil {
			return err
		}
		size, list = size-part, list[run:]
	}
	return nil
}

// offset returns the offset of a sector of either kind in the file.
func (c *compound) offset(s uint32, sector int64) (int64, error) {
	if sector == c.Sector {
		return c.Offset(s), nil
	}
	at := int64(s) * sector
	if at/c.Sector >= int64(len(c.small)) {
		return 0, malformed("chain of small sectors")
	}
	return c.Offset(c.small[at/c.Sector]) + at%c.Sector, nil
}
