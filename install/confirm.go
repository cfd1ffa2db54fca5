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
	"slices"
	"strings"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
)

// A Confirmation is a person's statement that something is done which no
// program can check: that the requirements of the first version of a year were
// read (R14).
type Confirmation struct {
	What string    `json:"what"` // in the words of the check
	Who  string    `json:"who"`
	When time.Time `json:"when"` // kept as UTC
	Note string    `json:"note,omitempty"`
}

// Confirmed is met if the file has a [Confirmation] of exactly what. Include the
// version or the year in it: a confirmation does not expire.
func Confirmed(file, what string) Check {
	return Check{Name: "confirmation", Run: func(context.Context) error {
		all, err := confirmations(file)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(c Confirmation) bool { return c.What == what }) {
			return nil
		}
		return fmt.Errorf("%q is not confirmed; do it, then confirm it", what)
	}}
}

// Confirm appends c to the file, which it creates with mode 0600 if necessary.
// It is on the disk when Confirm returns.
func Confirm(file string, c Confirmation) error {
	if strings.TrimSpace(c.What) == "" || strings.TrimSpace(c.Who) == "" || c.When.IsZero() {
		return errors.New("a confirmation needs What, Who and When")
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
	// A line that a crash cut short ends here and stays damaged.
	_, err = f.Write(append(append([]byte{'\n'}, line...), '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(file))
}

// confirmations returns the confirmations in the file, in order; none if it
// does not exist. A damaged line confirms nothing.
func confirmations(file string) ([]Confirmation, error) {
	b, err := durable.ReadFile(file)
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
