package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// Restore implements [backup.Target]. A backup of something else is restored
// only where nothing has the name Live. An end of ctx before the swap stops
// it; the two renames themselves are not cut short by it.
func (t *Target) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	c, err := t.begin(ctx, "restore")
	if err != nil {
		return nil, failed("restoring", t.Live, err)
	}
	r, err := c.restore(ctx, dir, m)
	if err != nil {
		return nil, failed("restoring", t.Live, err)
	}
	return r, nil
}

func (c *call) restore(ctx context.Context, dir string, m backup.Meta) (*swap.Restored, error) {
	var d detail
	if m.Kind != kind {
		return nil, fmt.Errorf("%w: it is of a %q and this is a %q", backup.ErrUnfit, m.Kind, kind)
	}
	if err := json.Unmarshal(m.Detail, &d); err != nil {
		return nil, fmt.Errorf("%w: its detail cannot be read: %w", backup.ErrUnfit, err)
	}
	if d.Digest != "" && len(c.Commands.Describe.Argv) == 0 {
		return nil, errors.New("the backup was described, and without the same command the restored data cannot be compared: set Describe")
	}
	c.slot.Reopen = func(name string) (*swap.Slot, error) {
		later, err := c.Target.open(name)
		if err != nil {
			return nil, err
		}
		return later.slot, nil
	}
	return c.slot.Restore(ctx, d.Live, func(fresh string) error { return c.build(ctx, dir, fresh, d) })
}

// build makes fresh, and compares it with what was backed up.
func (c *call) build(ctx context.Context, dir, fresh string, d detail) error {
	if err := c.run(ctx, "restore", c.Commands.Restore, c.inSnapshot(dir, fresh), nil); err != nil {
		return err
	}
	if there, err := c.exists(ctx, fresh); err != nil {
		return err
	} else if !there {
		return &Error{Step: "restore", Program: c.Commands.Restore.program(), Log: c.log,
			Err: fmt.Errorf("it says that all is well and %s is not there", fresh)}
	}
	if d.Digest != "" { // an older backup, of a target without Describe, has none
		if err := c.compare(ctx, fresh, d); err != nil {
			return err
		}
	}
	if c.named() {
		return nil
	}
	fi, err := os.Lstat(fresh)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || fi.Size() == 0 {
		return &Error{Step: "restore", Program: c.Commands.Restore.program(), Log: c.log,
			Err: fmt.Errorf("%s is empty or no regular file", fresh)}
	}
	if d.Owner != nil {
		if err := d.Owner.Give(fresh); err != nil {
			return err
		}
	}
	return durable.SyncTree(fresh)
}
