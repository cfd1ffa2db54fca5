package fetch_test

import (
	"context"
	"errors"
	"io"

	"github.com/aspupdate/aspupdate/fetch"
)

// tree is a Source of listings only.
type tree map[string][]fetch.Entry

func (s tree) List(_ context.Context, dir string) ([]fetch.Entry, error) {
	entries, ok := s[dir]
	if !ok {
		return nil, &fetch.Error{Op: "list", Name: dir, Reason: fetch.ErrNotFound}
	}
	return entries, nil
}

func (tree) Open(context.Context, string, int64) (io.ReadCloser, error) {
	return nil, errors.ErrUnsupported
}
