package command

import (
	"context"
	"fmt"
	"os"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
	"github.com/aspupdate/aspupdate/internal/durable"
)

// Restore implements [backup.Target]. A backup of other data is restored only if
// nothing has the name Live. When ctx ends, a restore stops before the swap, but
// does not interrupt the swap itself.
func (t *Target) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	c, err := t.begin(ctx, "restore")
	if err != nil {
		return nil, failed("restore", t.Live, err)
	}
	r, err := c.restore(ctx, dir, m)
	if err != nil {
		return nil, failed("restore", t.Live, err)
	}
	return r, nil
}

func (c *call) restore(ctx context.Context, dir string, m backup.Meta) (*swap.Restored, error) {
	var d detail
	if err := m.Decode(kind, &d); err != nil {
		return nil, err
	}
	if d.Digest != "" && !c.Commands.Describe.given() {
		return nil, fmt.Errorf("%w: the backup was made with Describe, and cannot be compared without: set Describe", backup.ErrIncompatible)
	}
	c.slot.Reopen = func(name string) (*swap.Slot, error) {
		later, err := c.open(name)
		if err != nil {
			return nil, err
		}
		return later.slot, nil
	}
	return c.slot.Restore(ctx, d.Live, func(name string) error { return c.build(ctx, dir, name, d) })
}

// build restores to a new name, and compares the result with what was backed up.
func (c *call) build(ctx context.Context, dir, name string, d detail) error {
	if err := c.run(ctx, "restore", c.Commands.Restore, c.inSnapshot(dir, name), nil); err != nil {
		return err
	}
	if there, err := c.exists(ctx, name); err != nil {
		return err
	} else if !there {
		return c.noEffect("restore", c.Commands.Restore, "%s does not exist", name)
	}
	if d.Digest != "" { // a backup made without Describe has none
		if err := c.compare(ctx, name, d); err != nil {
			return err
		}
	}
	if c.onServer() {
		return nil
	}
	fi, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() || fi.Size() == 0 {
		return c.noEffect("restore", c.Commands.Restore, "%s is empty or not a regular file", name)
	}
	if d.Owner != nil {
		if err := d.Owner.Give(name); err != nil {
			return err
		}
	}
	return durable.SyncTree(name)
}
