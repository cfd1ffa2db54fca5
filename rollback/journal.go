package rollback

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// journalHeader opens every journal; the number is the format's version.
const (
	journalMagic  = "aspupdate journal "
	journalHeader = journalMagic + "1\n"
	journalName   = "journal.log"
	begunName     = "journal.begun" // says that there was one
	maxRecord     = 1 << 20         // a record is a few hundred bytes; more is damage
)

// A Journal is the append-only record of what was begun and what was done.
//
// It is a text file that a person can read: a header with the format's
// version, then a line for each record,
//
//	<sequence> <length> <chain> <record as JSON>
//
// where length counts the bytes of the JSON and chain is the SHA-256 over
// the chain before it, the sequence and the JSON. So no line can be changed,
// left out or moved without notice. Every line is synced before Append
// returns.
//
// A crash can tear the last line, because it is the only one not yet synced.
// A torn line (without its end, or with bytes that never reached the disk)
// is cut off when the journal is opened for writing. Anything else that does
// not fit is damage: the file is left as it is and [ErrDamaged] returned.
// A format newer than this package's is refused.
//
// A journal that has grown is rotated while no update is pending: the file is
// kept as a part named for its first record, journal-000001.log, and a new one
// goes on from it. Its header names the sequence number and the chain where
// the part ends, and its first record carries the state over. So the journal
// alone says how things stand, and [ReadHistory] what happened before.
//
// A journal that was begun and is not there any more is damage too, and never
// made anew: an update in flight would be forgotten, and what is quarantined.
// The file journal.begun remembers it.
//
// A Journal has one writer, the holder of the [Lock]; readers use
// [ReadJournal] and need no lock.
type Journal struct {
	f       *os.File
	path    string
	start   int // how many records came before, in older parts
	records []Record
	chain   [sha256.Size]byte
	size    int64
	broken  error
}

// OpenJournal opens the journal in the state folder dir for writing, makes it
// if there is none, and cuts a torn last line off. One that has grown past 4
// MiB is rotated, unless an update is pending. The caller holds the [Lock] of
// dir.
func OpenJournal(dir string) (*Journal, error) {
	path := filepath.Join(dir, journalName)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := lost(dir); err != nil {
			return nil, err
		}
		// Renamed into place with its header: an empty or shorter file is
		// never a young journal, but a damaged one.
		if err := durable.WriteFile(path, []byte(journalHeader), 0o600); err != nil {
			return nil, fmt.Errorf("make the journal: %w", err)
		}
	} else if err := durable.SyncDir(dir); err != nil {
		// What a process before this one made or renamed, and could not sync,
		// is durable before anything is appended to it: with the name a power
		// cut would take every record.
		return nil, fmt.Errorf("sync the state folder: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, begunName)); errors.Is(err, fs.ErrNotExist) {
		// Against people, not against a power cut: it is not synced, may fail,
		// and is made again. It comes after a journal whose name is durable.
		_ = os.WriteFile(filepath.Join(dir, begunName), []byte("A journal was begun here. Without "+journalName+" updates are blocked: put it back.\n"), 0o600)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the journal: %w", err)
	}
	j := &Journal{f: f, path: path}
	err = j.load()
	if err == nil && j.size > maxJournal {
		err = j.rotate()
	}
	if err != nil {
		_ = j.f.Close()
		return nil, err
	}
	return j, nil
}

// load reads the whole journal and cuts the torn tail off.
func (j *Journal) load() error {
	data, err := io.ReadAll(j.f)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	p, err := parseJournal(data)
	if err != nil {
		return fmt.Errorf("%s: %w", j.path, err)
	}
	if p.good < int64(len(data)) {
		if err := j.f.Truncate(p.good); err != nil {
			return fmt.Errorf("cut the torn end of the journal off: %w", err)
		}
	}
	if len(data) > len(journalHeader) {
		// A process that was killed may have written its last record and not
		// synced it: a power cut could else tear it behind a later one, and
		// that would look like damage.
		if err := j.f.Sync(); err != nil {
			return fmt.Errorf("sync the journal: %w", err)
		}
	}
	if _, err := j.f.Seek(p.good, io.SeekStart); err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	j.start, j.records, j.chain, j.size = p.start, p.records, p.chain, p.good
	return nil
}

// ReadJournal returns the records of the journal in dir and writes nothing.
// No journal is no records. A torn last line is left out, and so is what was
// rotated away, of which the first record then carries the state; see
// [ReadHistory].
func ReadJournal(dir string) ([]Record, error) {
	path := filepath.Join(dir, journalName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, lost(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	p, err := parseJournal(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p.records, nil
}

// Append writes the record and syncs it. After a failure the journal takes
// no more records: what a failed sync left on the disk cannot be known, so
// only a fresh [OpenJournal] may go on.
func (j *Journal) Append(r Record) error {
	if j.broken != nil {
		return j.broken
	}
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("journal a record: %w", err)
	}
	if len(body) > maxRecord {
		return fmt.Errorf("journal a record: %d bytes are too long", len(body))
	}
	if err := j.alone(); err != nil {
		return j.fail(err)
	}
	seq := j.start + len(j.records) + 1
	chain := link(j.chain, seq, body)
	line := encodeLine(seq, chain, body)
	if _, err = j.f.Write(line); err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		// Best effort: without it the next start cuts the torn line off.
		_ = j.f.Truncate(j.size)
		return j.fail(fmt.Errorf("write the journal (make room or mend the disk, then recover): %w", err))
	}
	j.records, j.chain, j.size = append(j.records, r), chain, j.size+int64(len(line))
	return nil
}

// fail lets nothing more be appended.
func (j *Journal) fail(err error) error {
	if j.broken == nil {
		j.broken = err
	}
	return j.broken
}

// alone fails if the file is not as long as this process left it, or is
// another file by now: then somebody else writes, or wrote, too.
func (j *Journal) alone() error {
	ours, err := j.f.Stat()
	if err != nil {
		return fmt.Errorf("look at the journal: %w", err)
	}
	there, err := os.Stat(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look at the journal: %w: %w", ErrDamaged, err)
	}
	if err != nil {
		return fmt.Errorf("look at the journal: %w", err)
	}
	if !os.SameFile(ours, there) || there.Size() != j.size {
		return fmt.Errorf("%s: %w: another process wrote to it", j.path, ErrDamaged)
	}
	return nil
}

// Records returns what was read and appended. The caller must not change it.
func (j *Journal) Records() []Record { return j.records }

// Check re-reads the journal from the disk and fails unless it holds exactly
// what this process believes. A journal that does not takes no more records:
// it is evidence.
func (j *Journal) Check() error {
	if j.broken != nil {
		return j.broken
	}
	data, err := os.ReadFile(j.path)
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	p, err := parseJournal(data)
	switch {
	case err != nil:
		return j.fail(fmt.Errorf("%s: %w", j.path, err))
	case p.chain != j.chain || p.start != j.start || len(p.records) != len(j.records) || p.good != j.size:
		return j.fail(fmt.Errorf("%s: %w: it is not what this process wrote", j.path, ErrDamaged))
	}
	return nil
}

// Close closes the file.
func (j *Journal) Close() error { return j.f.Close() }

func link(prev [sha256.Size]byte, seq int, body []byte) [sha256.Size]byte {
	h := sha256.New()
	h.Write(prev[:])
	h.Write(strconv.AppendInt(nil, int64(seq), 10))
	h.Write([]byte{' '})
	h.Write(body)
	return [sha256.Size]byte(h.Sum(nil))
}

func encodeLine(seq int, chain [sha256.Size]byte, body []byte) []byte {
	line := fmt.Appendf(nil, "%06d %04d %x ", seq, len(body), chain)
	return append(append(line, body...), '\n')
}

// parsed is what a journal file holds.
type parsed struct {
	start   int               // how many records came before, in older parts
	from    [sha256.Size]byte // the chain after those
	records []Record
	chain   [sha256.Size]byte // after the last record
	good    int64             // the length of what holds the records; what follows is a torn line
}

// parseJournal reads a journal file. With an error come the records before
// the damage.
func parseJournal(data []byte) (p parsed, err error) {
	fail := func(format string, args ...any) (parsed, error) {
		return p, fmt.Errorf("%w: "+format+"; keep the file and ask for help", append([]any{ErrDamaged}, args...)...)
	}
	rest, ok := p.header(data)
	if !ok {
		if v, ok := bytes.CutPrefix(data, []byte(journalMagic)); ok {
			v, _, _ = bytes.Cut(v, []byte("\n"))
			v, _, _ = bytes.Cut(v, []byte(" "))
			if n, err := strconv.Atoi(string(v)); err == nil && n > 1 {
				return p, fmt.Errorf("%w: its format %d is newer than this program knows; use the newer program", ErrDamaged, n)
			}
		}
		return fail("the header is not a journal's")
	}
	for len(rest) > 0 {
		end := bytes.IndexByte(rest, '\n')
		seq := p.start + len(p.records) + 1
		if end < 0 && rest[len(rest)-1] == 0 {
			break // torn: its last bytes never reached the disk
		}
		if end < 0 {
			if _, _, err := parseLine(rest[:len(rest)-1], seq, p.chain); err == nil {
				return fail("record %d: its end was overwritten", seq)
			}
			break // torn: its end never reached the disk
		}
		line, after := rest[:end], rest[end+1:]
		rec, next, err := parseLine(line, seq, p.chain)
		if err != nil {
			if len(after) == 0 && hole(line) {
				break // torn: a part of it never reached the disk
			}
			return fail("record %d: %v", seq, err)
		}
		// The state is carried over once, where the file goes on from
		// another, and renamed into place with it: it is never torn.
		if (rec.Step == StepCarry) != (p.start > 0 && len(p.records) == 0) {
			return fail("record %d: the state is carried over in the wrong place", seq)
		}
		p.records, p.chain, rest = append(p.records, rec), next, after
	}
	if len(rest) > maxRecord+128 {
		return fail("%d bytes without a record at the end", len(rest))
	}
	if p.start > 0 && len(p.records) == 0 {
		return fail("the state carried over is missing")
	}
	p.good = int64(len(data) - len(rest))
	return p, nil
}

// header reads the first line, which says where a rotated journal goes on
// from, and returns what follows it.
func (p *parsed) header(data []byte) (rest []byte, ok bool) {
	if rest, ok := bytes.CutPrefix(data, []byte(journalHeader)); ok {
		return rest, true
	}
	line, rest, ok := bytes.Cut(data, []byte("\n"))
	if !ok || len(line) > 256 {
		return nil, false
	}
	var chain []byte
	if n, err := fmt.Sscanf(string(line), journalMagic+"1 after %d %x", &p.start, &chain); err != nil || n != 2 || p.start < 1 || len(chain) != sha256.Size {
		return nil, false
	}
	copy(p.from[:], chain)
	p.chain = p.from
	// Nothing else spells it.
	return rest, fmt.Sprintf("%s1 after %06d %x", journalMagic, p.start, chain) == string(line)
}

// hole reports whether a line has a stretch of zeros, as a file system shows
// for what was not written yet. A single zero can come of a flipped bit.
func hole(line []byte) bool {
	return len(line) > 0 && line[0] == 0 || bytes.Contains(line, make([]byte, 8))
}

func parseLine(line []byte, seq int, prev [sha256.Size]byte) (Record, [sha256.Size]byte, error) {
	var zero [sha256.Size]byte
	fields := bytes.SplitN(line, []byte(" "), 4)
	if len(fields) != 4 {
		return Record{}, zero, errors.New("fields are missing")
	}
	body := fields[3]
	if n, err := strconv.Atoi(string(fields[0])); err != nil || n != seq {
		return Record{}, zero, fmt.Errorf("the sequence number is %.20q", fields[0])
	}
	if n, err := strconv.Atoi(string(fields[1])); err != nil || n != len(body) {
		return Record{}, zero, errors.New("the length is wrong")
	}
	chain := link(prev, seq, body)
	if string(fields[2]) != hex.EncodeToString(chain[:]) {
		return Record{}, zero, errors.New("the checksum is wrong")
	}
	var r Record
	if err := json.Unmarshal(body, &r); err != nil {
		return Record{}, zero, fmt.Errorf("not a record: %w", err)
	}
	if r.Direction == "undo" { // of an update that was abandoned, until 2026
		r.Direction = Back
	}
	if r.Step == StepIntent && r.Plan == nil {
		return Record{}, zero, errors.New("an intent without a plan")
	}
	if r.Step == StepCarry && r.Carried == nil {
		return Record{}, zero, errors.New("a state carried over without the state")
	}
	return r, chain, nil
}
