package install

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/lock"
	"github.com/aspupdate/aspupdate/internal/private"
	"github.com/aspupdate/aspupdate/internal/process"
)

const (
	lockName     = "install.lock"
	recordName   = "install.json"
	recordFormat = 1
)

// record is what the next process needs to find an installer and to settle its
// run. It is written before and after the start; see [process.Start].
type record struct {
	process.Record               // its Program is the private copy that runs
	Format         int           `json:"format"`
	Path           string        `json:"path"` // as the caller named it
	SHA256         string        `json:"sha256"`
	Kind           Kind          `json:"kind,omitempty"`
	Codes          Codes         `json:"codes,omitempty"` // what the exit code means
	Uninstall      bool          `json:"uninstall,omitempty"`
	Log            string        `json:"log"`
	OwnLog         string        `json:"own_log,omitempty"`
	Started        time.Time     `json:"started"`
	Deadline       time.Duration `json:"deadline_ns"`
	LeavesRunning  bool          `json:"leaves_running,omitempty"`
	Application    []string      `json:"application,omitempty"` // its directories
	CodePage       codePage      `json:"code_page,omitempty"`
}

func (r *Runner) recordPath() string { return filepath.Join(r.State, recordName) }

func (r *Runner) writeRecord(rec record) error {
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(r.recordPath(), append(b, '\n'), 0o600)
}

// readRecord returns false if there is no record. One that cannot be understood
// is an error and stays in place.
func (r *Runner) readRecord() (rec record, ok bool, err error) {
	b, err := durable.ReadFile(r.recordPath())
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, err
	}
	if err := json.Unmarshal(b, &rec); err != nil {
		return record{}, false, fmt.Errorf("the record %s of an earlier run is damaged (%w); make sure by hand that no installer runs, then move it away", r.recordPath(), err)
	}
	if rec.Format != recordFormat || !process.ValidID(rec.ID) {
		return record{}, false, fmt.Errorf("the record %s of an earlier run has format %d, this program reads format %d; settle it with the program that wrote it", r.recordPath(), rec.Format, recordFormat)
	}
	return rec, true, nil
}

// removeRecord removes the record of a run that has ended. It does not wait for
// the disk: if a power cut restores the record, Settle finds no process.
func (r *Runner) removeRecord() error {
	if err := durable.Remove(r.recordPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// lock creates the state directory and locks it for this process. The kernel
// releases the lock when this process ends; the installer does not inherit it.
func (r *Runner) lock() (unlock func(), err error) {
	if err := durable.MkdirAll(r.State, 0o700); err != nil {
		return nil, err
	}
	if err := private.Check(r.State); err != nil {
		return nil, err
	}
	l, err := lock.Try(filepath.Join(r.State, lockName))
	if errors.Is(err, lock.ErrBusy) {
		return nil, fmt.Errorf("%w: another process runs or settles an installer in %s; wait for it to end", ErrUnsettled, r.State)
	}
	if err != nil {
		return nil, err
	}
	return func() { _ = l.Unlock() }, nil
}
