package lab

import (
	"context"
	"errors"
	"io"

	"github.com/aspupdate/aspupdate/fetch"
)

// Listings is a Source of listings only, by directory.
type Listings map[string][]fetch.Entry

// List implements [fetch.Source].
func (s Listings) List(_ context.Context, dir string) ([]fetch.Entry, error) {
	entries, ok := s[dir]
	if !ok {
		return nil, &fetch.Error{Op: "list", Subject: dir, Err: fetch.ErrNotFound}
	}
	return entries, nil
}

// Open implements [fetch.Source].
func (Listings) Open(context.Context, string, int64) (io.ReadCloser, error) {
	return nil, errors.ErrUnsupported
}
