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

// The older segments of a rotated journal are named for the sequence number
// of their first record: journal-000001.log.
const (
	segmentPrefix = "journal-"
	segmentSuffix = ".log"
)

// rotate begins a new segment that carries the state forward, and keeps the
// old one beside it. It does nothing while an update is pending, or where it
// cannot: then the journal is only longer.
//
// The old segment is copied to its name first; then one rename puts the new
// one in its place. A crash before the rename leaves the old journal and a
// copy that the next rotation replaces with a longer one.
func (j *journal) rotate() error {
	st := replay(j.records)
	if st.Pending != nil || len(j.records) < 2 {
		return nil
	}
	old, seq := j.start, j.start+len(j.records)
	// The journal reads no clock.
	body, err := json.Marshal(record{Time: j.records[len(j.records)-1].Time, Step: stepCarry, Kind: EventDone, Carried: &st, Journal: st.journal})
	if err != nil {
		return fileError("rotate", j.path, err)
	}
	// A long journal does no harm, a record that cannot be read does. A full
	// disk shows at the next record, a foreign file in the history.
	if len(body) > maxRecord || !j.keepSegment() {
		return nil
	}
	line, _ := encode(j.chain, seq+1, body)
	data := append([]byte(header(seq, j.chain)), line...)
	// Windows replaces no file that is open.
	if err := j.f.Close(); err != nil {
		return fileError("rotate", j.path, err)
	}
	werr := durable.WriteFile(j.path, data, 0o600)
	if j.f, err = os.OpenFile(j.path, os.O_RDWR, 0); err != nil {
		return errors.Join(fileError("open", j.path, err), werr)
	}
	if err := j.load(); err != nil {
		return errors.Join(err, werr)
	}
	if werr != nil && j.start != old {
		// It was renamed, and that is not durable: what would be appended
		// now could be gone after a power cut. Opening again syncs it.
		return fileError("rotate", j.path, werr)
	}
	// Where the rename itself failed (on Windows, because another process is
	// reading it) the old journal is in place and whole, and the next start
	// rotates it.
	return nil
}

// keepSegment copies the journal to the name of an older segment and reports
// whether that is durable. It replaces what an earlier rotation left, and
// nothing else.
func (j *journal) keepSegment() bool {
	data, err := durable.ReadFile(j.path)
	if err != nil {
		return false
	}
	path := filepath.Join(filepath.Dir(j.path), fmt.Sprintf("%s%06d%s", segmentPrefix, j.start+1, segmentSuffix))
	had, err := durable.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || !bytes.HasPrefix(data, had) {
		return false
	}
	return durable.WriteFile(path, data, 0o600) == nil
}

// A segmentFile is an older segment of a rotated journal.
type segmentFile struct {
	path  string
	first int // the sequence number of its first record, by its name
}

// segments lists the older segments of the journal in dir, in order.
func segments(dir string) ([]segmentFile, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fileError("list", dir, err)
	}
	var list []segmentFile
	for _, e := range entries {
		num, ok := strings.CutPrefix(e.Name(), segmentPrefix)
		num, ok2 := strings.CutSuffix(num, segmentSuffix)
		if n, err := strconv.Atoi(num); ok && ok2 && err == nil && n > 0 {
			list = append(list, segmentFile{filepath.Join(dir, e.Name()), n})
		}
	}
	slices.SortFunc(list, func(a, b segmentFile) int { return a.first - b.first })
	return list, nil
}

// readRecords returns all records that were ever journaled in dir, in order,
// those of the older segments included, and writes nothing.
//
// A segment that is damaged, or missing, blocks no update. The error wraps
// [ErrDamaged] and names every such segment; all other records come with it.
func readRecords(dir string) ([]record, error) {
	// The journal first: segments older than what was read are complete then,
	// even if it is rotated meanwhile.
	now, data, err := readJournal(dir)
	if err != nil || data == nil {
		return nil, err
	}
	list, err := segments(dir)
	if err != nil {
		return nil, err
	}
	var h history
	for _, s := range list {
		if s.first <= now.start {
			h.add(s)
			continue
		}
		// A crash before the rename leaves a copy, and a rotation at this
		// very moment a longer one.
		had, err := durable.ReadFile(s.path)
		if err != nil || s.first != now.start+1 || !bytes.HasPrefix(data, had) && !bytes.HasPrefix(had, data) {
			h.fault(s.path, "it does not belong to this journal", "find out where it comes from and move it away")
		}
	}
	h.follow(now, filepath.Join(dir, journalName))
	return h.records, errors.Join(h.errs...)
}

// A history joins the segments of a journal.
type history struct {
	records []record
	last    segment // the one before
	unknown bool    // the end of last is not known: it is damaged
	errs    []error
}

func (h *history) fault(path, what, next string) {
	h.errs = append(h.errs, &Error{Op: "read", Subject: path, Err: damaged("%s", what), Next: next})
}

func (h *history) add(f segmentFile) {
	var s segment
	data, err := durable.ReadFile(f.path)
	ours := err == nil
	if ours {
		s, err = decode(data)
	}
	if err != nil {
		h.errs = append(h.errs, fileError("read", f.path, err))
	} else if s.start+1 != f.first {
		h.fault(f.path, fmt.Sprintf("it begins with record %d", s.start+1), "")
		ours = false
	}
	if ours {
		h.follow(s, f.path)
	}
	h.unknown = !ours || err != nil
}

// follow appends what a segment has, and faults it if it does not go on where
// the one before ended.
func (h *history) follow(s segment, path string) {
	switch end := h.last.end(); {
	case h.unknown: // reported already
	case s.start > end:
		h.fault(path, fmt.Sprintf("records %d to %d before it are missing", end+1, s.start), "")
	case s.start < end || s.from != h.last.chain:
		h.fault(path, "it does not go on where the segment before it ends", "")
	}
	for _, r := range s.records {
		if r.Step != stepCarry {
			h.records = append(h.records, r)
		}
	}
	h.last, h.unknown = s, false
}
