package files

import (
	"context"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
)

// A builder makes a copy of what was backed up under a new name, and compares it.
type builder func(name string) error

// restore swaps in what build makes.
func restore(ctx context.Context, s *swap.Slot, from string, build builder) (backup.Restored, error) {
	r, err := s.Restore(ctx, from, build)
	if err != nil {
		return nil, failed("restore", s.Live, err)
	}
	return r, nil
}

// failed wraps err with the operation, or returns nil if err is nil.
func failed(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &backup.Error{Op: op, Subject: path, Err: err}
}
