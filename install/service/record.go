package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"reflect"

	"github.com/aspupdate/aspupdate/internal/durable"
)

const recordFormat = 1

// record is what was found before the first change. It stays after the
// service was opened again, marked as restored, so that a repeated Open knows
// that it is one; the next Close writes a new one.
type record struct {
	Format   int      `json:"format"`
	Name     string   `json:"name"`
	Absent   bool     `json:"absent,omitempty"`   // there was no such service at first
	Found    *found   `json:"found,omitempty"`    // nil as long as there is none
	Closed   bool     `json:"closed,omitempty"`   // by Close, not by Stop alone
	Restored bool     `json:"restored,omitempty"` // all of it is as it was
	Members  []string `json:"members,omitempty"`  // what must end, as the system knows it
}

// found is what comes back.
type found struct {
	Running    bool     `json:"running"`
	Autostart  string   `json:"autostart"`           // in the system's words
	WantedBy   []string `json:"wanted_by,omitempty"` // systemd: units that start it
	RequiredBy []string `json:"required_by,omitempty"`
}

func (s Service) path() string {
	return filepath.Join(s.Dir, url.QueryEscape(s.Name)+".service.json")
}

// read returns an empty record if there is none. One that cannot be
// understood is an error and stays where it is.
func (s Service) read() (rec record, err error) {
	b, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	const next = "set the service's autostart by hand and move the file away"
	if err := json.Unmarshal(b, &rec); err != nil {
		return record{}, advise(next, fmt.Errorf("what was found before is damaged in %s: %w", s.path(), err))
	}
	if rec.Format != recordFormat || rec.Name != s.Name {
		return record{}, advise(next, fmt.Errorf("%s has format %d for service %q, this program knows %d", s.path(), rec.Format, rec.Name, recordFormat))
	}
	return rec, nil
}

// write makes rec durable unless it is what was read.
func (s Service) write(old, rec record) error {
	if reflect.DeepEqual(old, rec) {
		return nil
	}
	if err := durable.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(s.path(), append(b, '\n'), 0o600)
}
