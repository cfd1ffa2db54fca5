package site

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/aspupdate/aspupdate/backup/postgres"
	"github.com/aspupdate/aspupdate/rollback"
)

// A first installation finds no data where FullSetup creates it: what does not
// exist yet is neither backed up nor closed. Recovering such an update needs the
// same data as its plan, although FullSetup may have created the rest by then.

// firstData returns the data of a plan, nil unless it is a first installation.
func firstData(p rollback.Plan) map[string]bool {
	var data map[string]bool
	for _, part := range p.Parts {
		if part.From.Version == "" && data == nil {
			data = map[string]bool{}
		}
	}
	if data != nil {
		for _, name := range p.Data {
			data[name] = true
		}
	}
	return data
}

// takesPart reports whether data belong to the update.
func (s *Site) takesPart(name string, exists func(context.Context) bool) bool {
	switch {
	case s.data != nil:
		return s.data[name]
	case s.First:
		return exists(context.Background())
	}
	return true
}

// there returns a function that reports whether a path exists, or cannot be
// asked: then a later step says why.
func there(path string) func(context.Context) bool {
	return func(context.Context) bool {
		_, err := os.Lstat(path)
		return !errors.Is(err, os.ErrNotExist)
	}
}

// exists reports whether the database exists, or cannot be asked.
func (p postgresConfig) exists(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err := (&postgres.Database{URI: p.value()}).Needs(ctx)
	return !errors.Is(err, fs.ErrNotExist)
}

// fenceOf returns the fence of the database: during a first installation one that
// has nothing to do as long as the database does not exist.
func (s *Site) fenceOf(exists func(context.Context) bool, part named) rollback.Fence {
	if s.First || s.data != nil {
		return onceThere{part, exists}
	}
	return part
}

// onceThere is the fence of what may not exist yet.
type onceThere struct {
	named
	exists func(context.Context) bool
}

func (f onceThere) Close(ctx context.Context) error {
	if !f.exists(ctx) {
		return nil
	}
	return f.named.Close(ctx)
}

func (f onceThere) Open(ctx context.Context) error {
	if !f.exists(ctx) {
		return nil
	}
	return f.named.Open(ctx)
}

func (f onceThere) Closed(ctx context.Context) (bool, error) {
	if !f.exists(ctx) {
		return false, errors.ErrUnsupported
	}
	closed, err := f.named.Closed(ctx)
	if err == nil && !closed {
		err = errors.ErrUnsupported // FullSetup may have created it since
	}
	return closed, err
}
