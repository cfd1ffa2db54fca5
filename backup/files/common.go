package files

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
)

// fits reads the detail of a backup of the given kind.
func fits(m backup.Meta, kind string, detail any) error {
	if m.Kind != kind {
		return fmt.Errorf("%w: it is of a %q and this is a %q", backup.ErrUnfit, m.Kind, kind)
	}
	if err := json.Unmarshal(m.Detail, detail); err != nil {
		return fmt.Errorf("%w: its detail cannot be read: %w", backup.ErrUnfit, err)
	}
	return nil
}

// restore has build make the new data beside the live one and swaps it in.
func restore(ctx context.Context, s *swap.Slot, from string, build func(fresh string) error) (backup.Restored, error) {
	r, err := s.Restore(ctx, from, build)
	if err != nil {
		return nil, fmt.Errorf("restoring %s: %w", s.Live, err)
	}
	return r, nil
}

// prove has build make a copy, which compares it with the backup, and removes it.
func prove(ctx context.Context, s *swap.Slot, build func(fresh string) error) error {
	if err := s.Try(ctx, build); err != nil {
		return fmt.Errorf("proving a backup of %s: %w", s.Live, err)
	}
	return nil
}
