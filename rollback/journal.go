package rollback

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aspupdate/aspupdate/internal/durable"
)

const (
	journalName = "journal.log"
	begunName   = "journal.begun" // remembers that there was one
	maxRecord   = 1 << 20         // a record is a few hundred bytes; more is damage
)

// A journal is the append-only record of what was begun and what was done, a
// text file in the format of segment. Every record is synced before append
// returns, so that a crash can tear only the last line, which is cut off when
// the journal is opened for writing. Anything else that does not fit is
// damage: the file is left as it is and [ErrDamaged] returned. A format newer
// than this package's is refused.
//
// A journal that was begun and is missing is damage too, and never created
// again: a pending update and the quarantines would be forgotten. The file
// journal.begun remembers it.
//
// A journal has one writer, the holder of the [Lock]; readers need no lock.
type journal struct {
	f       *os.File
	path    string
	start   int // how many records came before, in older segments
	from    [sha256.Size]byte
	records []record
	chains  [][sha256.Size]byte // after each record
	chain   [sha256.Size]byte
	size    int64
	broken  error
	torn    bool // what a failed write left could not be cut off: the record may be there
}

// openJournal opens the journal in the state directory dir for writing,
// creates it if there is none, and cuts a torn last line off. One that has
// grown past 4 MiB is rotated, unless an update is pending. The caller holds
// the [Lock] of dir.
func openJournal(dir string) (*journal, error) {
	path := filepath.Join(dir, journalName)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := missing(dir); err != nil {
			return nil, err
		}
		// Renamed into place with its header: an empty or shorter file is
		// never a young journal, but a damaged one.
		if err := durable.WriteFile(path, []byte(journalHeader), 0o600); err != nil {
			return nil, fileError("create", path, err)
		}
	} else if err := durable.SyncDir(dir); err != nil {
		// What a process before this one created or renamed, and could not
		// sync, is durable before anything is appended to it: with the name a
		// power cut would take every record.
		return nil, fileError("sync", dir, err)
	}
	begun := filepath.Join(dir, begunName)
	if _, err := os.Lstat(begun); errors.Is(err, fs.ErrNotExist) {
		// Against people, not against a power cut: it is not synced, may fail,
		// and is written again. It comes after a journal whose name is durable.
		_ = durable.Rewrite(begun, []byte("A journal was begun here. Without "+journalName+" updates are blocked: put it back.\n"), 0o600)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fileError("open", path, err)
	}
	j := &journal{f: f, path: path}
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
func (j *journal) load() error {
	var s segment
	data, err := io.ReadAll(j.f)
	if err == nil {
		s, err = decode(data)
	}
	if err != nil {
		return fileError("read", j.path, err)
	}
	if s.size < int64(len(data)) {
		if err := j.f.Truncate(s.size); err != nil {
			return fileError("cut off the torn end", j.path, err)
		}
	}
	if len(data) > len(journalHeader) {
		// A process that was killed may have written its last record and not
		// synced it: a power cut could else tear it behind a later one, and
		// that would look like damage.
		if err := j.f.Sync(); err != nil {
			return fileError("sync", j.path, err)
		}
	}
	if _, err := j.f.Seek(s.size, io.SeekStart); err != nil {
		return fileError("read", j.path, err)
	}
	j.start, j.from, j.records, j.chains, j.chain, j.size = s.start, s.from, s.records, s.chains, s.chain, s.size
	return nil
}

// readJournal returns the newest segment of the journal in dir and writes
// nothing. Without a journal it is empty. A torn last line is left out, and so
// is what was rotated away: the first record then carries the state, see
// readRecords.
func readJournal(dir string) (segment, []byte, error) {
	if err := checkOwners(dir); err != nil {
		return segment{}, nil, err
	}
	path := filepath.Join(dir, journalName)
	data, err := durable.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return segment{}, nil, missing(dir)
	}
	var s segment
	if err == nil {
		s, err = decode(data)
	}
	if err != nil {
		return segment{}, nil, fileError("read", path, err)
	}
	return s, data, nil
}

// missing fails if a journal was begun in dir before and is not there any
// more.
func missing(dir string) error {
	old, err := segments(dir)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, journalName)
	if _, err = os.Lstat(filepath.Join(dir, begunName)); len(old) > 0 || err == nil {
		return &Error{Op: "read", Subject: path, Err: damaged("it was begun and is missing"), Next: "put it back or ask for help"}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fileError("read", path, err)
	}
	return nil
}

// append writes the record and syncs it. After a failure the journal accepts
// no more records: what a failed sync left on the disk cannot be known, so
// only a fresh openJournal may go on.
func (j *journal) append(r record) error {
	if j.broken != nil {
		return j.broken
	}
	body, err := json.Marshal(r)
	if err == nil && len(body) > maxRecord {
		err = fmt.Errorf("the record has %d bytes, more than %d", len(body), maxRecord)
	}
	if err != nil {
		return fileError("write", j.path, err)
	}
	if err := j.alone(); err != nil {
		return j.fail(err)
	}
	line, chain := encode(j.chain, j.start+len(j.records)+1, body)
	if _, err = j.f.Write(line); err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		// Best effort: without it the next start cuts the torn line off.
		j.torn = j.f.Truncate(j.size) != nil
		failed := fileError("write", j.path, err)
		failed.Next = "free disk space or repair the disk, then recover"
		return j.fail(failed)
	}
	j.records, j.chains, j.chain, j.size = append(j.records, r), append(j.chains, chain), chain, j.size+int64(len(line))
	return nil
}

// segment is what the journal holds, as reading it would give.
func (j *journal) segment() segment {
	return segment{start: j.start, from: j.from, records: j.records, chains: j.chains, chain: j.chain, size: j.size}
}

// fail lets nothing more be appended.
func (j *journal) fail(err error) error {
	if j.broken == nil {
		j.broken = err
	}
	return j.broken
}

// alone fails if the file is not as long as this process left it, or was
// replaced: then another process writes, or wrote, too.
func (j *journal) alone() error {
	var there fs.FileInfo
	ours, err := j.f.Stat()
	if err == nil {
		there, err = os.Stat(j.path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	case err == nil && os.SameFile(ours, there) && there.Size() == j.size:
		return nil
	case err == nil:
		err = damaged("another process wrote to it")
	}
	return fileError("check", j.path, err)
}

// check re-reads the journal from the disk and fails unless it holds exactly
// what this process believes. A journal that does not accepts no more records:
// it is evidence.
func (j *journal) check() error {
	if j.broken != nil {
		return j.broken
	}
	data, err := durable.ReadFile(j.path)
	if err != nil {
		return fileError("check", j.path, err)
	}
	s, err := decode(data)
	if err == nil && (s.chain != j.chain || s.start != j.start || len(s.records) != len(j.records) || s.size != j.size) {
		err = damaged("it is not what this process wrote")
	}
	if err != nil {
		return j.fail(fileError("check", j.path, err))
	}
	return nil
}

func (j *journal) close() error { return j.f.Close() }

// fileError makes the error of an operation on a file or a directory.
func fileError(op, path string, err error) *Error {
	if p, ok := err.(*fs.PathError); ok && p.Path == path { //nolint:errorlint // only what adds nothing is left out
		err = p.Err
	}
	e := &Error{Op: op, Subject: path, Err: err}
	switch {
	case errors.Is(err, errNewer):
		e.Reason, e.Next = ReasonNewer, "nothing is damaged: use the program that wrote it, or a newer one"
	case errors.Is(err, ErrDamaged):
		e.Next = "keep the file and ask for help"
	}
	return e
}
