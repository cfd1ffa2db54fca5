package rollback

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// maxJournal is the size in bytes from which a journal is rotated: years of
// updates, and still read in no time.
const maxJournal = 4 << 20

// The parts of a rotated journal are named for the sequence number of their
// first record.
const (
	partPrefix = "journal-"
	partSuffix = ".log"
)

// rotate begins a new file that carries the state forward, and keeps the old
// one as a part beside it. It does nothing while an update is pending. Where
// it cannot, the journal stays as it is, only longer.
//
// The old file is copied to its part first; then one rename puts the new file
// in its place. A crash before the rename leaves the old journal and a copy
// that the next rotation replaces by a longer one; there is no moment without
// a journal, and none in which two could be taken for it.
func (j *Journal) rotate() error {
	st := replay(j.records)
	if st.Pending != nil || len(j.records) < 2 {
		return nil
	}
	old, seq := j.start, j.start+len(j.records)
	// The journal reads no clock.
	body, err := json.Marshal(Record{Time: j.records[len(j.records)-1].Time, Step: StepCarry, Phase: Done, Carried: &st})
	if err != nil {
		return fmt.Errorf("rotate the journal: %w", err)
	}
	if len(body) > maxRecord {
		return nil // a long journal is no harm, a record that cannot be read is
	}
	if !j.keepPart() {
		return nil // a full disk shows at the next record, a foreign file in the history
	}
	data := fmt.Appendf(nil, "%s1 after %06d %x\n", journalMagic, seq, j.chain)
	data = append(data, encodeLine(seq+1, link(j.chain, seq+1, body), body)...)
	// Windows replaces no file that is open.
	if err := j.f.Close(); err != nil {
		return fmt.Errorf("rotate the journal: %w", err)
	}
	werr := durable.WriteFile(j.path, data, 0o600)
	if j.f, err = os.OpenFile(j.path, os.O_RDWR, 0); err != nil {
		return errors.Join(fmt.Errorf("open the journal: %w", err), werr)
	}
	if err := j.load(); err != nil {
		return errors.Join(err, werr)
	}
	if werr != nil && j.start != old {
		// It was renamed, and that is not durable: what would be appended
		// now could be gone after a power cut. Opening again syncs it.
		return fmt.Errorf("rotate the journal: %w", werr)
	}
	// Where the rename itself failed (on Windows, because somebody is reading
	// it) the old journal is in place and whole, and the next start rotates it.
	return nil
}

// keepPart copies the journal to its part and reports whether that is durable.
// It replaces what an earlier rotation left, and nothing else.
func (j *Journal) keepPart() bool {
	data, err := os.ReadFile(j.path)
	if err != nil {
		return false
	}
	path := filepath.Join(filepath.Dir(j.path), fmt.Sprintf("%s%06d%s", partPrefix, j.start+1, partSuffix))
	had, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || !bytes.HasPrefix(data, had) {
		return false
	}
	return durable.WriteFile(path, data, 0o600) == nil
}

// A part is an old part of a rotated journal.
type part struct {
	path  string
	first int // the sequence number of its first record, by its name
}

// parts lists the old parts of the journal in dir, in order.
func parts(dir string) ([]part, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the journal's parts: %w", err)
	}
	var list []part
	for _, e := range entries {
		num, ok := strings.CutPrefix(e.Name(), partPrefix)
		num, ok2 := strings.CutSuffix(num, partSuffix)
		if n, err := strconv.Atoi(num); ok && ok2 && err == nil && n > 0 {
			list = append(list, part{filepath.Join(dir, e.Name()), n})
		}
	}
	slices.SortFunc(list, func(a, b part) int { return a.first - b.first })
	return list, nil
}

// lost fails where a journal that was begun before is not there any more: it
// is never young again.
func lost(dir string) error {
	list, err := parts(dir)
	if err != nil {
		return err
	}
	_, err = os.Lstat(filepath.Join(dir, begunName))
	if len(list) > 0 || err == nil {
		return fmt.Errorf("%s: %w: it was begun and is not there; put it back or ask for help", filepath.Join(dir, journalName), ErrDamaged)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for the journal: %w", err)
	}
	return nil
}

// ReadHistory returns all records that were ever journaled in dir, in order,
// those of the journal's older parts included, and writes nothing. The state
// of the installation needs only [ReadStatus].
//
// A part that is damaged, or missing, blocks no update. It is told by an error
// that wraps [ErrDamaged] and names every such part; the records that can
// still be vouched for come with it.
func ReadHistory(dir string) ([]Record, error) {
	// The journal first: parts older than what was read are complete then,
	// whatever is rotated meanwhile.
	data, err := os.ReadFile(filepath.Join(dir, journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, lost(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	now, err := parseJournal(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, journalName), err)
	}
	list, err := parts(dir)
	if err != nil {
		return nil, err
	}
	var h history
	for _, p := range list {
		if p.first <= now.start {
			h.add(p)
			continue
		}
		// A crash before the rename leaves a copy, and a rotation at this
		// very moment a longer one.
		had, err := os.ReadFile(p.path)
		if err != nil || p.first != now.start+1 || !bytes.HasPrefix(data, had) && !bytes.HasPrefix(had, data) {
			h.tell("%s: it is not of this journal; find out where it comes from and move it away", p.path)
		}
	}
	h.follow(now, filepath.Join(dir, journalName))
	return h.records, errors.Join(h.errs...)
}

// A history puts the parts of a journal together.
type history struct {
	records []Record
	end     parsed // of the part before; its end is not known if it is damaged
	unknown bool
	errs    []error
}

func (h *history) tell(format string, args ...any) {
	h.errs = append(h.errs, fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...))
}

func (h *history) add(p part) {
	data, err := os.ReadFile(p.path)
	if err != nil {
		h.errs = append(h.errs, fmt.Errorf("read a part of the journal: %w", err))
		h.unknown = true
		return
	}
	is, err := parseJournal(data)
	switch {
	case err != nil:
		h.errs = append(h.errs, fmt.Errorf("%s: %w", p.path, err))
	case is.start+1 != p.first:
		h.tell("%s: it begins with record %d", p.path, is.start+1)
		h.unknown = true
		return
	}
	h.follow(is, p.path)
	h.unknown = err != nil
}

// follow appends what a part has, and tells if it does not go on where the
// one before ended.
func (h *history) follow(is parsed, path string) {
	switch end := h.end.start + len(h.end.records); {
	case h.unknown: // told already
	case is.start > end:
		h.tell("records %d to %d are missing before %s", end+1, is.start, path)
	case is.start < end || is.from != h.end.chain:
		h.tell("%s: it does not go on where the part before it ends", path)
	}
	for _, r := range is.records {
		if r.Step != StepCarry {
			h.records = append(h.records, r)
		}
	}
	h.end, h.unknown = is, false
}
