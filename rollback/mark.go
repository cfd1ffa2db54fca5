package rollback

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A mark says how far the journal of an installation has come. It is in each
// kept directory, with the backups and the archive. A state directory that is an
// older copy of itself, as a restored machine or a careless hand leaves it, has
// fewer records than its marks, or others: it would restore old data over what
// was entered since.
type mark struct {
	Journal string `json:"journal"` // the journal's identity, which is random
	Records int    `json:"records"` // how many there were
	Chain   string `json:"chain"`   // the journal's chain at their end
}

// newJournal returns a random identity.
func newJournal() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

func markPath(dir, journal string) string { return filepath.Join(dir, ".journal-"+journal+".json") }

// marked reports whether a record is worth a mark: it begins or ends something.
func (r record) marked() bool {
	switch r.Step {
	case stepIntent, stepCommit, stepRolledBack, stepAbandoned, stepEnd, stepOperator,
		stepRetry, stepAccept, stepAdopt, stepLift, stepForget, stepOpen:
		return true
	}
	return false
}

// markDeadline is how long the mark of one directory is waited for. The directory
// may be on a share whose server is gone, where a call of the system does not
// return: that must keep neither a commit nor a recovery waiting.
const markDeadline = 10 * time.Second

// A marker reads and writes marks. A call that does not return is left behind, and
// its directory is left alone until it has returned.
type marker struct {
	deadline time.Duration
	touch    func(dir string)         // of tests; may be nil
	behind   map[string]chan struct{} // closed once the call has returned
}

func newMarker(t tuning) *marker {
	return &marker{cmp.Or(t.markDeadline, markDeadline), t.markTouch, map[string]chan struct{}{}}
}

func (m *marker) in(dir string, call func() error) error {
	if done := m.behind[dir]; done != nil {
		select {
		case <-done:
			delete(m.behind, dir)
		default:
			return fmt.Errorf("%s does not answer", dir)
		}
	}
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if m.touch != nil {
			m.touch(dir)
		}
		err = call()
	}()
	late := time.NewTimer(m.deadline)
	defer late.Stop()
	select {
	case <-done:
		return err
	case <-late.C:
		m.behind[dir] = done
		return fmt.Errorf("%s does not answer within %v", dir, m.deadline)
	}
}

// writeMarks marks how far the journal has come. A directory that is not there
// gets none.
func (e *engine) writeMarks() error {
	if e.identity == "" {
		e.identity = cmp.Or(e.st.journal, newJournal())
	}
	m := mark{e.identity, e.j.start + len(e.j.records), hex.EncodeToString(e.j.chain[:])}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range e.u.Kept {
		werr := e.marker.in(dir, func() error {
			if _, serr := os.Stat(dir); serr == nil {
				return durable.WriteFile(markPath(dir, m.Journal), append(data, '\n'), 0o600)
			}
			return nil
		})
		if werr != nil {
			errs = append(errs, fileError("mark the journal's end in", dir, werr))
		}
	}
	return errors.Join(errs...)
}

// unmarked reports to the observer that a mark cannot be written, or read. It is not
// journaled.
func (e *engine) unmarked(err error) {
	if err != nil && e.u.Observe != nil {
		e.u.Observe(Event{
			Time: e.u.now().UTC(), Kind: eventNote, Step: stepMark, direction: e.direction, err: err,
			Text: string(stepMark) + ": an old copy of the state directory may not be recognized: " + err.Error(),
		})
	}
}

// check refuses a state directory that is older than its marks. A mark that
// is not there, or cannot be read, shows nothing; silent is why one did not come
// in time, or that there is none at all.
func (m *marker) check(state string, kept []string, journal string, s segment) (silent, stale error) {
	if journal == "" {
		return nil, nil
	}
	var without []string
	marked := false
	for _, dir := range kept {
		var data []byte
		var rerr, derr error
		err := m.in(dir, func() error {
			data, rerr = durable.ReadFile(markPath(dir, journal))
			_, derr = os.Stat(dir)
			return nil
		})
		if err != nil {
			silent = errors.Join(silent, err)
			continue
		}
		var found mark
		if rerr != nil || json.Unmarshal(data, &found) != nil || found.Journal != journal {
			if derr == nil {
				without = append(without, dir)
			}
			continue
		}
		if marked = true; s.has(found) {
			continue
		}
		return silent, refuse(ReasonStale, state, "the state directory is an older copy of itself: its journal has %d records, and %s has a mark of its record %d", s.end(), dir, found.Records).
			then("put the newest copy of the state directory back; if there is none, move this one aside, adopt what is installed, and open the fence: nothing is restored from it")
	}
	if !marked && len(without) > 0 {
		silent = errors.Join(silent, fmt.Errorf("no mark of how far the journal has come is in %s; it is written again when an update begins or ends", strings.Join(without, ", ")))
	}
	return silent, nil
}

// has reports whether the journal has the record that was marked. What was
// rotated away is taken for the same.
func (s segment) has(m mark) bool {
	switch n := m.Records - s.start; {
	case n < 0:
		return true
	case n == 0:
		return hex.EncodeToString(s.from[:]) == m.Chain
	case n > len(s.records):
		return false
	default:
		return hex.EncodeToString(s.chains[n-1][:]) == m.Chain
	}
}
