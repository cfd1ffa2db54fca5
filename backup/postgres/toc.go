package postgres

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The table of contents of a dump in PostgreSQL's custom format says exactly what each
// entry is, and whose. pg_restore --list prints the same in a form in which names with
// spaces and newlines are ambiguous. The format is that of pg_dump's
// pg_backup_archiver.c; it has been extended four times in twenty years, and pg_restore reads the
// old ones.

// Sections of a dump.
const (
	sectionNone = 1 + iota
	sectionPreData
	sectionData
	sectionPostData
)

// A tocEntry is an entry of the table of contents.
type tocEntry struct {
	id         int
	class, oid uint32 // the catalog that describes the object, and its row; 0 for what is in none
	tag        string // name, with the types of arguments
	desc       string // kind, such as TABLE
	section    int    // of the entry, or of the one before it that has one
	defn, drop string // statements that make and drop it
	namespace  string
	tablespace string
	owner      string
	needs      []int
}

// String is what people call the entry.
func (e *tocEntry) String() string {
	name := e.tag
	if e.namespace != "" {
		name = e.namespace + "." + name
	}
	return strings.ToLower(e.desc) + " " + name
}

// isShell reports whether the entry is a type that is only a name. Those that are defined later have the kind SHELL TYPE.
func (e *tocEntry) isShell() bool {
	return e.desc == "TYPE" && e.defn != "" && strings.TrimPrefix(e.defn, "CREATE ") == strings.TrimPrefix(e.drop, "DROP ")
}

var errContents = errors.New("the dump's table of contents cannot be read")

const (
	maxTocEntries = 10_000_000
	maxTocString  = 1 << 30
)

// readContents reads a dump as far as its table of contents.
func readContents(dump io.Reader) ([]*tocEntry, error) {
	r := tocReader{in: bufio.NewReaderSize(dump, 1<<16)}
	entries := r.read()
	if r.err != nil {
		return nil, fmt.Errorf("%w: %w", errContents, r.err)
	}
	section := sectionNone
	for _, e := range entries {
		if e.section == sectionNone {
			e.section = section // as pg_restore has it
		}
		section = e.section
	}
	return entries, nil
}

// A tocReader reads until the first error.
type tocReader struct {
	in      *bufio.Reader
	err     error
	version int // 1014 is 1.14
	intSize int
}

func (r *tocReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

func (r *tocReader) bytes(n int) []byte {
	b := make([]byte, 0, min(n, 1<<16))
	for len(b) < n && r.err == nil { // a forged length costs no memory
		part := make([]byte, min(n-len(b), 1<<16))
		_, err := io.ReadFull(r.in, part)
		if err != nil {
			r.fail("%w", err)
		}
		b = append(b, part...)
	}
	if r.err != nil {
		return make([]byte, min(n, 16))
	}
	return b
}

func (r *tocReader) byte() int { return int(r.bytes(1)[0]) }

func (r *tocReader) int() int {
	negative := r.byte() != 0
	var b [8]byte
	copy(b[:], r.bytes(r.intSize))
	n := int(binary.LittleEndian.Uint64(b[:]) & 0x7fffffff)
	if negative {
		return -n
	}
	return n
}

// string returns "" for NULL; ok distinguishes them.
func (r *tocReader) string() (s string, ok bool) {
	n := r.int()
	if n < 0 || r.err != nil {
		return "", false
	}
	if n > maxTocString {
		r.fail("a string of %d bytes", n)
		return "", false
	}
	return string(r.bytes(n)), true
}

func (r *tocReader) text() string {
	s, _ := r.string()
	return s
}

func (r *tocReader) oid() uint32 {
	n, err := strconv.ParseUint(r.text(), 10, 32)
	if err != nil {
		r.fail("an invalid number of an object")
	}
	return uint32(n)
}

func (r *tocReader) read() []*tocEntry {
	if string(r.bytes(5)) != "PGDMP" {
		r.fail("it is not in PostgreSQL's custom format")
		return nil
	}
	major, minor := r.byte(), r.byte()
	r.byte() // revision
	r.version = 1000*major + minor
	if r.version < 1012 || r.version > 1016 {
		r.fail("the format %d.%d is unknown", major, minor)
		return nil
	}
	r.intSize = r.byte()
	offSize := r.byte()
	if r.intSize < 1 || r.intSize > 8 || offSize < 1 || offSize > 8 {
		r.fail("numbers of %d and %d bytes", r.intSize, offSize)
		return nil
	}
	r.byte() // custom, tar and so on
	if r.version >= 1015 {
		r.byte() // compression
	} else {
		r.int()
	}
	for range 7 { // the time
		r.int()
	}
	for range 3 { // database, versions of the server and of pg_dump
		r.text()
	}
	n := r.int()
	if n < 0 || n > maxTocEntries {
		r.fail("%d entries", n)
	}
	var entries []*tocEntry
	for range n {
		if r.err != nil {
			return nil
		}
		e := &tocEntry{id: r.int()}
		r.int() // whether there are data
		e.class, e.oid = r.oid(), r.oid()
		e.tag, e.desc, e.section = r.text(), r.text(), r.int()
		e.defn, e.drop = r.text(), r.text()
		r.text() // COPY
		e.namespace, e.tablespace = r.text(), r.text()
		if r.version >= 1014 {
			r.text() // access method
		}
		if r.version >= 1016 {
			r.int() // kind of relation
		}
		e.owner = r.text()
		r.text() // OIDs
		for {
			need, ok := r.string()
			if !ok {
				break
			}
			id, err := strconv.Atoi(need)
			if err != nil {
				r.fail("an invalid dependency")
			}
			e.needs = append(e.needs, id)
		}
		r.bytes(1 + offSize)
		if e.section < sectionNone || e.section > sectionPostData {
			r.fail("an invalid section")
		}
		entries = append(entries, e)
	}
	return entries
}
