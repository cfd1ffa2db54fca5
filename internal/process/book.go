package process

import (
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
	"github.com/aspupdate/aspupdate/internal/lock"
)

// An entry is the record of a command that runs, in a file of its own. The
// process that runs the command holds a lock beside it: an entry whose lock is free
// is one that its process left when it died.
type entry struct {
	Record
	Program string    `json:"program"` // for people; not its arguments, which may be private
	Whole   bool      `json:"whole,omitempty"`
	Temp    string    `json:"temp,omitempty"`   // its directory for temporary files
	Output  string    `json:"output,omitempty"` // the file of what it prints
	Started time.Time `json:"started"`
	Until   time.Time `json:"until,omitzero"` // when it is ended; zero is never
}

const (
	entrySuffix = ".command.json"
	lockSuffix  = ".lock"

	// What begins so is made by this package, in the directory for temporary files.
	tempPrefix   = "aspupdate-run-"
	outputPrefix = "aspupdate-command-"
)

// A book keeps one entry while its command runs.
type book struct {
	path  string
	entry entry
	lock  *lock.Lock
}

func openEntry(dir string, e entry) (*book, error) {
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	b := &book{path: filepath.Join(dir, e.ID+entrySuffix), entry: e}
	var err error
	b.lock, err = lock.Try(b.path + lockSuffix)
	return b, err
}

func (b *book) save(rec Record) error {
	b.entry.Record = rec
	text, err := json.MarshalIndent(b.entry, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(b.path, append(text, '\n'), 0o600)
}

// close removes the entry: its command has ended. It does not wait for the disk:
// if a power cut restores the entry, Settle finds no process.
func (b *book) close() {
	_ = durable.Remove(b.path)
	_ = b.lock.Unlock()
	_ = durable.Remove(b.path + lockSuffix)
}

// Settle finds the commands that a process before this one recorded in dir and left
// running, waits for them, and ends those whose time is up, each with everything that
// it started. It reports whether one of them ended by itself meanwhile. What a living
// process runs is left alone. If ctx ends first, the error wraps its cause, and the
// commands go on and stay recorded.
func Settle(ctx context.Context, dir string) (finished bool, err error) {
	paths, err := filepath.Glob(filepath.Join(escape(dir), "*"+entrySuffix))
	if err != nil {
		return false, err
	}
	for _, path := range paths {
		done, err := settle(ctx, path)
		finished = finished || done
		if err != nil {
			return finished, err
		}
	}
	return finished, nil
}

// escape returns a pattern that matches the path alone.
func escape(path string) string {
	if os.PathSeparator == '\\' {
		return strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace(path)
	}
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "*", `\*`, "?", `\?`).Replace(path)
}

func settle(ctx context.Context, path string) (finished bool, err error) {
	held, err := lock.Try(path + lockSuffix)
	if errors.Is(err, lock.ErrBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	b := &book{path: path, lock: held}
	text, err := durable.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &b.entry)
	}
	if err == nil && !ValidID(b.entry.ID) {
		err = errors.New("it has no valid ID")
	}
	if errors.Is(err, fs.ErrNotExist) { // its process has just removed it
		b.close()
		return false, nil
	}
	if err == nil {
		finished, err = b.settle(ctx)
	} else {
		err = fmt.Errorf("the record %s of a command is damaged (%w); make sure by hand that it does not run, then move the file away", path, err)
	}
	if err != nil {
		return finished, errors.Join(err, held.Unlock())
	}
	b.close()
	return finished, nil
}

// settle waits for the entry's command, or ends it when its time is up.
func (b *book) settle(ctx context.Context) (finished bool, err error) {
	e := b.entry
	t, err := Find(e.Record)
	if err != nil {
		return false, err
	}
	defer t.Close()
	if t.Suspended() { // it never ran
		return false, t.End()
	}
	switch {
	case e.Whole || e.PID == 0 && e.Line == "":
		finished, err = b.await(ctx, t, t.Alive)
	case e.PID != 0: // what the command left behind is a service, if its own end is known
		finished, err = b.await(ctx, t, t.RootAlive)
	default:
		err = b.awaitStart(ctx, t, unknown)
	}
	if err != nil {
		return finished, err
	}
	if left, aliveErr := t.Alive(); aliveErr == nil && !left && strings.HasPrefix(filepath.Base(e.Temp), tempPrefix) {
		_ = durable.RemoveAll(e.Temp)
	}
	if strings.HasPrefix(filepath.Base(e.Output), outputPrefix) {
		_ = durable.Remove(e.Output)
	}
	return finished, nil
}

// unknown is how long a process is waited for that may be the command itself, under another
// name: a script can become another program.
const unknown = 30 * time.Second

// awaitStart waits for a command that may have left a service running, and whose own end cannot be
// known for certain: it is never ended, since the service would be.
func (b *book) awaitStart(ctx context.Context, t *Tree, unknown time.Duration) error {
	for _, wait := range []struct {
		alive func() (bool, error)
		most  time.Duration
	}{{t.Alive, unknown}, {t.RootAlive, min(time.Until(b.entry.Until), b.entry.Until.Sub(b.entry.Started))}} {
		within, cancel := context.WithTimeout(ctx, wait.most)
		_, err := Poll(within, wait.alive)
		cancel()
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("the command %s of an earlier process may still be running: %w", b.entry.Program, context.Cause(ctx))
		}
	}
	return nil
}

func (b *book) await(ctx context.Context, t *Tree, alive func() (bool, error)) (finished bool, err error) {
	if yes, err := alive(); err != nil || !yes { // whether or not its time is up
		return false, err
	}
	if until := b.entry.Until; !until.IsZero() {
		// A clock that was set back does not extend the time.
		left := min(time.Until(until), until.Sub(b.entry.Started))
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, left, errTimeUp)
		defer cancel()
	}
	cause, err := Poll(ctx, alive)
	switch {
	case err != nil:
		return false, err
	case cause == nil:
		return true, nil
	case errors.Is(cause, errTimeUp):
		return false, t.End()
	}
	return false, fmt.Errorf("the command %s of an earlier process is still running: %w", b.entry.Program, cause)
}

// errTimeUp distinguishes the command's time from the caller's.
var errTimeUp = errors.New("the command's time is up")
