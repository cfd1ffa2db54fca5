package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/internal/names"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/lock"
	"github.com/aspupdate/aspupdate/internal/private"
)

const memoryFormat = 1

// A memory is what a [Watch] knows from one check to the next.
type memory struct {
	Format        int                 `json:"format"`
	Distributions map[string]*history `json:"distributions"`
}

// errMemory is wrapped by errors that waiting does not fix.
var errMemory = errors.New("the memory of the watch cannot be used")

// readMemory reads what was seen. A file that does not exist is an empty memory;
// one that is damaged is an error, because with an empty memory everything would
// be reported again, as at the first check.
func readMemory(file string) (memory, error) {
	m := memory{Format: memoryFormat, Distributions: map[string]*history{}}
	f, err := durable.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return memory{}, &fetch.Error{Op: "read", Subject: file, Err: err}
	}
	defer func() { _ = f.Close() }()
	const maxSize = 64 << 20
	b, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err != nil {
		return memory{}, &fetch.Error{Op: "read", Subject: file, Err: err}
	}
	var head struct {
		Format int `json:"format"`
	}
	bad := func(err error, next string) error {
		return &fetch.Error{Op: "read", Subject: file, Err: fmt.Errorf("%w: %w", errMemory, err), Next: next}
	}
	const damaged = "restore the file from a backup, or move it away: then the next check counts as the first one"
	if err := json.Unmarshal(b, &head); err != nil {
		return memory{}, bad(fmt.Errorf("damaged: %w", err), damaged)
	}
	switch {
	case head.Format > memoryFormat:
		return memory{}, bad(fmt.Errorf("format %d is newer than this program", head.Format), "update the program")
	case head.Format < 1:
		return memory{}, bad(errors.New("damaged: no format"), damaged)
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return memory{}, bad(fmt.Errorf("damaged: %w", err), damaged)
	}
	for d, k := range m.Distributions {
		if err := errors.Join(names.Check(d), k.check()); err != nil {
			return memory{}, bad(fmt.Errorf("damaged: %s: %w", names.Show(d), err), damaged)
		}
	}
	return m, nil
}

func (m memory) write(file string) error {
	b, err := json.MarshalIndent(m, "", " ")
	if err == nil {
		err = durable.WriteFile(file, append(b, '\n'), 0o600)
	}
	if err != nil {
		return &fetch.Error{Op: "remember", Subject: file, Err: err, Next: "make the file writable; nothing is reported that cannot be remembered"}
	}
	return nil
}

// lockMemory keeps other checks with the same memory out until unlock.
func lockMemory(ctx context.Context, file string) (unlock func(), err error) {
	if err := durable.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return nil, &fetch.Error{Op: "remember", Subject: file, Err: err}
	}
	if err := private.Check(filepath.Dir(file)); err != nil {
		return nil, &fetch.Error{Op: "remember", Subject: file, Err: err}
	}
	l, err := lock.Exclusive(ctx, file+".lock")
	if err != nil {
		return nil, &fetch.Error{Op: "remember", Subject: file, Err: fmt.Errorf("wait for another check: %w", err)}
	}
	return func() { _ = l.Unlock() }, nil
}
