package command

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/internal/swap"
)

// Restore implements [backup.Target]. A backup of other data is restored only if
// nothing has the name Live. When ctx ends, a restore stops before the swap, but
// does not interrupt the swap itself.
//
// If Describe prints something else of what was restored, the error wraps [backup.ErrMismatch],
// and has a method Beside: what was restored stays beside the live data until the next
// restore or Tidy.
func (t *Target) Restore(ctx context.Context, dir string, m backup.Meta) (backup.Restored, error) {
	return t.restore(ctx, dir, m, nil)
}

// RestoreDiffering is Restore for a person who has seen these differences and accepted
// them. The backup is restored anew, and what was kept is dropped first. It fails if Describe
// prints something else again.
func (t *Target) RestoreDiffering(ctx context.Context, dir string, m backup.Meta, accepted []string) (backup.Restored, error) {
	return t.restore(ctx, dir, m, accepted)
}

func (t *Target) restore(ctx context.Context, dir string, m backup.Meta, accepted []string) (backup.Restored, error) {
	c, err := t.begin(ctx, "restore")
	if err != nil {
		return nil, failed("restore", t.Live, err)
	}
	r, err := c.restore(ctx, dir, m, accepted)
	if err != nil {
		return nil, failed("restore", t.Live, err)
	}
	return r, nil
}

// Prove implements [backup.Prover]: Restore makes {new} beside the live data, which is
// compared by Describe, if that is set, and dropped.
func (t *Target) Prove(ctx context.Context, dir string, m backup.Meta) error {
	c, err := t.begin(ctx, "prove")
	if err == nil {
		var d detail
		if d, err = c.readDetail(m); err == nil {
			err = c.slot.Try(ctx, c.builder(ctx, dir, d, nil))
		}
	}
	return failed("prove a backup of", t.Live, err)
}

// Compare fails unless Describe prints of the live data what it printed of what was backed up. The
// error wraps [backup.ErrMismatch] if not, and is [errors.ErrUnsupported] if Describe is not set, or
// was not then. The data is never restored again because of that: what changed it may have had a reason.
func (t *Target) Compare(ctx context.Context, _ string, m backup.Meta) (again bool, err error) {
	var d detail
	c, err := t.begin(ctx, "compare")
	if err == nil {
		d, err = c.readDetail(m)
	}
	switch {
	case err != nil:
	case d.Digest == "":
		return false, errors.ErrUnsupported
	default:
		err = c.compare(ctx, c.slot.Live, d, nil)
	}
	return false, failed("compare", t.Live, err)
}

func (c *call) readDetail(m backup.Meta) (d detail, err error) {
	if err := m.Decode(kind, &d); err != nil {
		return d, err
	}
	if d.Digest != "" && !c.Commands.Describe.given() {
		return d, fmt.Errorf("%w: the backup was made with Describe, and cannot be compared without: set Describe", backup.ErrIncompatible)
	}
	return d, nil
}

// builder returns the function that restores to a new name. What differs gets its name, too.
func (c *call) builder(ctx context.Context, dir string, d detail, accepted []string) func(name string) error {
	return func(name string) error {
		var differing *swap.Differing
		err := c.make(name, d.Owner, func(name string) error {
			err := c.build(ctx, dir, name, d, accepted)
			if errors.As(err, &differing) {
				return nil
			}
			return err
		})
		if err == nil && differing != nil {
			return differing
		}
		return err
	}
}

func (c *call) restore(ctx context.Context, dir string, m backup.Meta, accepted []string) (*swap.Restored, error) {
	d, err := c.readDetail(m)
	if err != nil {
		return nil, err
	}
	c.slot.Reopen = func(name string) (*swap.Slot, error) {
		later, err := c.open(name)
		if err != nil {
			return nil, err
		}
		return later.slot, nil
	}
	return c.slot.Restore(ctx, d.Live, c.builder(ctx, dir, d, accepted))
}

// build restores to a new name, and compares the result with what was backed up.
func (c *call) build(ctx context.Context, dir, name string, d detail, accepted []string) error {
	if err := c.run(ctx, "restore", c.Commands.Restore, c.inSnapshot(dir, name), nil); err != nil {
		return err
	}
	if there, err := c.exists(ctx, name); err != nil {
		return err
	} else if !there {
		return c.noEffect("restore", c.Commands.Restore, "%s does not exist", name)
	}
	if !c.onServer() {
		fi, err := os.Lstat(name)
		if err == nil && (!fi.Mode().IsRegular() || fi.Size() == 0) {
			err = c.noEffect("restore", c.Commands.Restore, "%s is empty or not a regular file", name)
		}
		if err != nil {
			return err
		}
	}
	if d.Digest == "" { // a backup made without Describe has none
		return nil
	}
	return c.compare(ctx, name, d, accepted)
}
