package install

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A Confirmation is a person's word that something is so which no program
// can see: that the requirements of the first version of a year were read
// (R14).
type Confirmation struct {
	What string    `json:"what"` // as the check names it
	Who  string    `json:"who"`
	When time.Time `json:"when"` // kept as UTC
	Note string    `json:"note,omitempty"`
}

// Confirmed holds if a person has confirmed in the file what is named, letter
// by letter. Name the version or the year in it: a confirmation does not age.
func Confirmed(file, what string) Check {
	return Check{Name: "confirmation", Look: func(context.Context) error {
		all, err := Confirmations(file)
		if err != nil {
			return err
		}
		for _, c := range all {
			if c.What == what {
				return nil
			}
		}
		return fmt.Errorf("nobody has confirmed %q; see to it, then have it confirmed by name", what)
	}}
}

// Confirm adds a person's word to the file, which it makes if it is missing,
// with mode 0600. It is on the disk when Confirm returns.
func Confirm(file string, c Confirmation) error {
	if strings.TrimSpace(c.What) == "" || strings.TrimSpace(c.Who) == "" || c.When.IsZero() {
		return errors.New("a confirmation says what is confirmed, by whom and when")
	}
	c.When = c.When.UTC()
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	// A line that a crash cut short is left behind: it ends here.
	_, err = f.Write(append(append([]byte{'\n'}, line...), '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(file))
}

// Confirmations returns what is confirmed in the file, in order; none if there
// is no file. A line that is damaged confirms nothing.
func Confirmations(file string) ([]Confirmation, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Confirmation
	for line := range bytes.Lines(b) {
		var c Confirmation
		if bytes.HasSuffix(line, []byte("\n")) && json.Unmarshal(line, &c) == nil && c.What != "" && c.Who != "" && !c.When.IsZero() {
			all = append(all, c)
		}
	}
	return all, nil
}
