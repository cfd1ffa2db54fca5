package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"reflect"

	"github.com/aspupdate/aspupdate/internal/durable"
)

const recordFormat = 1

// record is what was found before the first change. After the service was
// opened again the record stays, marked as restored, so that a repeated Open
// changes nothing; the next Close writes a new one.
type record struct {
	Format   int      `json:"format"`
	Name     string   `json:"name"`
	Absent   bool     `json:"absent,omitempty"`   // at first there was no such service
	Found    *found   `json:"found,omitempty"`    // nil as long as there was none
	Closed   bool     `json:"closed,omitempty"`   // by Close, not by Stop alone
	Restored bool     `json:"restored,omitempty"` // all of it is as it was
	Members  []string `json:"members,omitempty"`  // what must end, as the system identifies it
}

// found is what Open brings back.
type found struct {
	Running    bool     `json:"running"`
	Autostart  string   `json:"autostart"`           // in the system's words
	WantedBy   []string `json:"wanted_by,omitempty"` // systemd: units that start it
	RequiredBy []string `json:"required_by,omitempty"`
}

// A phase is how far a service is from what was found.
type phase int

const (
	untouched phase = iota // there is no record
	stopped                // by Stop: Start and Open bring it back
	closed                 // by Close: Open brings it back, Start only runs it
	restored               // it is as it was
)

func (rec record) phase() phase {
	switch {
	case rec.Format == 0:
		return untouched
	case rec.Restored:
		return restored
	case rec.Closed:
		return closed
	}
	return stopped
}

// runs reports whether the service is to run once it is brought back. One that
// an installer has made since is.
func (rec record) runs() bool { return rec.Absent || rec.Found != nil && rec.Found.Running }

func (s *Service) path() string {
	return filepath.Join(s.Dir, url.QueryEscape(s.Name)+".service.json")
}

// read returns an empty record if there is none. A record that cannot be
// understood is an error and stays in place.
func (s *Service) read() (rec record, err error) {
	b, err := durable.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	const next = "set the service's autostart by hand and move the file away"
	if err := json.Unmarshal(b, &rec); err != nil {
		return record{}, advise(next, fmt.Errorf("the record %s of how the service was is damaged: %w", s.path(), err))
	}
	if rec.Format != recordFormat || rec.Name != s.Name {
		return record{}, advise(next, fmt.Errorf("the record %s has format %d and is of service %q; this program reads format %d", s.path(), rec.Format, rec.Name, recordFormat))
	}
	return rec, nil
}

// write makes rec durable, unless it equals the record that was read.
func (s *Service) write(old, rec record) error {
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
