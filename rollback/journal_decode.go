package rollback

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// The header of a journal; the number is the format's version.
const (
	journalMagic  = "aspupdate journal "
	journalFormat = 1
	journalHeader = journalMagic + "1\n"
)

// A segment is one file of the journal: a header with the format's version,
//
//	aspupdate journal 1
//
// or, where it goes on from another segment, with the number of records in
// all segments before it and the chain at their end,
//
//	aspupdate journal 1 after <records> <chain>
//
// and then a line for each record,
//
//	<sequence> <length> <chain> <record as JSON>
//
// where length counts the bytes of the JSON and chain is the SHA-256 over the
// chain before it, the sequence and the JSON. So no line can be changed, left
// out or moved without notice. The first record of a segment that goes on from
// another carries the state over.
type segment struct {
	start   int               // how many records came before, in older segments
	from    [sha256.Size]byte // the chain after those
	records []record
	chains  [][sha256.Size]byte // after each record
	chain   [sha256.Size]byte   // after the last record
	size    int64               // the length of what holds the records; a torn line may follow
}

// end returns the sequence number of the last record.
func (s segment) end() int { return s.start + len(s.records) }

// encode returns the line of one record and the chain after it.
func encode(prev [sha256.Size]byte, seq int, body []byte) (line []byte, chain [sha256.Size]byte) {
	chain = link(prev, seq, body)
	line = fmt.Appendf(nil, "%06d %04d %x ", seq, len(body), chain)
	return append(append(line, body...), '\n'), chain
}

func link(prev [sha256.Size]byte, seq int, body []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(strconv.AppendInt(nil, int64(seq), 10))
	h.Write([]byte{' '})
	h.Write(body)
	return [sha256.Size]byte(h.Sum(nil))
}

// header returns the first line of a segment that goes on from another.
func header(start int, from [sha256.Size]byte) string {
	return fmt.Sprintf("%s%d after %06d %x\n", journalMagic, journalFormat, start, from)
}

// decode reads one file of a journal. With an error come the records before
// the damage.
func decode(data []byte) (segment, error) {
	d := decoder{rest: data}
	err := d.header()
	for err == nil && !d.torn && len(d.rest) > 0 {
		err = d.line()
	}
	if err == nil {
		err = d.end()
	}
	d.size = int64(len(data) - len(d.rest))
	return d.segment, err
}

type decoder struct {
	segment
	rest []byte
	torn bool // the rest is a line that a crash cut short
}

// errNewer is why a journal is not read that a newer program wrote.
var errNewer = errors.New("newer than this program")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

// header reads the first line.
func (d *decoder) header() error {
	line, rest, ended := bytes.Cut(d.rest, []byte("\n"))
	switch {
	case ended && string(line)+"\n" == journalHeader:
	case ended && d.after(line):
	default:
		return unknownHeader(line)
	}
	d.rest = rest
	return nil
}

// after reads the header of a segment that goes on from another.
func (d *decoder) after(line []byte) bool {
	var start int
	var chain []byte
	if n, err := fmt.Sscanf(string(line), journalMagic+"1 after %d %x", &start, &chain); err != nil || n != 2 || start < 1 || len(chain) != sha256.Size {
		return false
	}
	d.start, d.from = start, [sha256.Size]byte(chain)
	d.chain = d.from
	return header(d.start, d.from) == string(line)+"\n" // no other spelling
}

func unknownHeader(line []byte) error {
	if format, ok := bytes.CutPrefix(line, []byte(journalMagic)); ok {
		format, _, _ = bytes.Cut(format, []byte(" "))
		if n, err := strconv.Atoi(string(format)); err == nil && n > journalFormat && strconv.Itoa(n) == string(format) {
			return fmt.Errorf("the format %d of the journal is %w", n, errNewer)
		}
	}
	return damaged("the header is not a journal's")
}

// line reads one record, or finds the last line torn.
func (d *decoder) line() error {
	line, after, ended := bytes.Cut(d.rest, []byte("\n"))
	seq := d.segment.end() + 1
	if !ended {
		return d.unended(seq)
	}
	r, chain, err := parseLine(line, seq, d.chain)
	switch {
	case err != nil && len(after) == 0 && hole(line):
		d.torn = true // a part of it never reached the disk
		return nil
	case err != nil:
		return damaged("record %d: %v", seq, err)
	case (r.Step == stepCarry) != (d.start > 0 && len(d.records) == 0):
		// The state is carried over once, where the segment goes on from
		// another, and renamed into place with it: it is never torn.
		return damaged("record %d: the state is carried over in the wrong place", seq)
	}
	d.records, d.chains, d.chain, d.rest = append(d.records, r), append(d.chains, chain), chain, after
	return nil
}

// unended finds the last line torn, unless its end was overwritten.
func (d *decoder) unended(seq int) error {
	last := len(d.rest) - 1
	if d.rest[last] != 0 { // zeros never reached the disk
		if _, _, err := parseLine(d.rest[:last], seq, d.chain); err == nil {
			return damaged("record %d: its end was overwritten", seq)
		}
	}
	d.torn = true
	return nil
}

// end checks what is left when no more records are found.
func (d *decoder) end() error {
	if len(d.rest) > maxRecord+128 {
		return damaged("%d bytes without a record at the end", len(d.rest))
	}
	if d.start > 0 && len(d.records) == 0 {
		return damaged("the state carried over is missing")
	}
	return nil
}

// hole reports whether a line has a stretch of zeros, as a file system shows
// for what was not written yet. A single zero can come of a flipped bit.
func hole(line []byte) bool {
	return len(line) > 0 && line[0] == 0 || bytes.Contains(line, make([]byte, 8))
}

// parseLine reads one line without its end.
func parseLine(line []byte, seq int, prev [sha256.Size]byte) (r record, chain [sha256.Size]byte, err error) {
	fields := bytes.SplitN(line, []byte(" "), 4)
	if len(fields) != 4 {
		return r, chain, errors.New("fields are missing")
	}
	body := fields[3]
	if n, err := strconv.Atoi(string(fields[0])); err != nil || n != seq {
		return r, chain, fmt.Errorf("the sequence number is %.20q", fields[0])
	}
	if n, err := strconv.Atoi(string(fields[1])); err != nil || n != len(body) {
		return r, chain, errors.New("the length is wrong")
	}
	chain = link(prev, seq, body)
	if string(fields[2]) != hex.EncodeToString(chain[:]) {
		return r, chain, errors.New("the checksum is wrong")
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, chain, fmt.Errorf("not a record: %w", err)
	}
	err = r.complete()
	return r, chain, err
}

// complete fails if a record lacks what the state is made of.
func (r *record) complete() error {
	switch {
	case r.Step == stepIntent && r.Plan == nil:
		return errors.New("an intent without a plan")
	case r.Step == stepCarry && r.Carried == nil:
		return errors.New("a state carried over without the state")
	case r.Direction == "undo": // of an update that was abandoned, until November 2026
		r.Direction = back
	}
	return nil
}
