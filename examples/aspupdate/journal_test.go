package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A record is a line of the journal, which is a format that people and their
// scripts read, see OPERATIONS.md.
type record struct {
	Time   time.Time `json:"time"`
	Update string    `json:"update"`
	Step   string    `json:"step"`
	Phase  string    `json:"phase"`
	Way    string    `json:"way,omitempty"`
	Part   string    `json:"part,omitempty"`
	Ref    string    `json:"ref,omitempty"`
	Plan   any       `json:"plan,omitempty"`
}

// writeJournal appends to the journal of a state directory.
func writeJournal(state string, records ...record) error {
	path := filepath.Join(state, "journal.log")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		text = []byte("aspupdate journal 1\n")
	} else if err != nil {
		return err
	}
	seq, chain := 0, make([]byte, sha256.Size)
	if lines := strings.Split(strings.TrimSpace(string(text)), "\n"); len(lines) > 1 {
		if _, err := fmt.Sscanf(lines[len(lines)-1], "%d %d %x", &seq, new(int), &chain); err != nil {
			return err
		}
	}
	for _, r := range records {
		r.Time = time.Now().UTC()
		body, err := json.Marshal(r)
		if err != nil {
			return err
		}
		seq++
		sum := sha256.Sum256(append(fmt.Appendf(chain, "%d ", seq), body...))
		chain = sum[:]
		text = fmt.Appendf(text, "%06d %04d %x %s\n", seq, len(body), chain, body)
	}
	return os.WriteFile(path, text, 0o600)
}

// readJournal reads the whole journal of a state directory.
func readJournal(state string) ([]record, error) {
	segments, err := filepath.Glob(filepath.Join(state, "journal-*.log")) // sorted
	if err != nil {
		return nil, err
	}
	var records []record
	for _, path := range append(segments, filepath.Join(state, "journal.log")) {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // nothing was done yet
		}
		if err != nil {
			return nil, err
		}
		for _, line := range strings.SplitAfter(string(text), "\n")[1:] {
			fields := strings.SplitN(line, " ", 4)
			if !strings.HasSuffix(line, "\n") { // torn by a kill
				continue
			}
			var r record
			if err := json.Unmarshal([]byte(fields[3]), &r); err != nil {
				return nil, err
			}
			if r.Step != "carry" { // the state before, of a segment
				records = append(records, r)
			}
		}
	}
	return records, nil
}
