package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/aspupdate/aspupdate/backup"
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

func (c *call) restore(ctx context.Context, dir string, m backup.Meta) (*restored, error) {
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
	now, err := c.slot.look(ctx)
	if err != nil {
		return nil, err
	}
	if now.live && d.Live != c.slot.live {
		return nil, fmt.Errorf("%w: it is of %s and would replace %s: restore it to a name that is free", backup.ErrUnfit, d.Live, c.slot.live)
	}
	mark := newMark()
	fresh := c.slot.beside(isNew, mark)
	if err := c.build(ctx, dir, fresh, d); err != nil {
		return nil, errors.Join(err, c.slot.clean(ctx, fresh))
	}
	if err := c.slot.swap(ctx, mark, now.live); err != nil {
		return nil, err
	}
	return &restored{target: c.Target, mark: mark, old: now.live}, nil
}

// build makes fresh, and compares it with what was backed up.
func (c *call) build(ctx context.Context, dir, fresh string, d detail) error {
	if err := c.run(ctx, "restore", c.Commands.Restore, c.inSnapshot(dir, fresh), nil); err != nil {
		return err
	}
	if there, err := c.slot.exists(ctx, fresh); err != nil {
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
		if err := d.Owner.give(fresh); err != nil {
			return err
		}
	}
	return durable.SyncTree(fresh)
}

// restored is a restore that has happened.
type restored struct {
	target *Target
	mark   string
	old    bool // something was live before
	done   bool
}

func (r *restored) Undo(ctx context.Context) error {
	if r.done {
		return nil
	}
	err := r.undo(ctx)
	r.done = err == nil
	return failed("undoing the restore of", r.target.Live, err)
}

func (r *restored) undo(ctx context.Context) error {
	c, err := r.target.open("undo")
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	before, err := c.slot.look(ctx)
	if err != nil {
		return err
	}
	if err := c.slot.recover(ctx); err != nil {
		return err
	}
	now, err := c.slot.look(ctx)
	if err != nil {
		return err
	}
	if r.old && !now.has(isOld, r.mark) {
		if !before.live && now.live { // an Undo that was cut short: recover has finished it
			return nil
		}
		return fmt.Errorf("%s is gone: nothing to go back to", c.slot.beside(isOld, r.mark))
	}
	return c.slot.unswap(ctx, r.mark, now.live, r.old)
}

func (r *restored) Discard(ctx context.Context) error {
	if r.done {
		return nil
	}
	c, err := r.target.open("discard")
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = c.slot.remove(ctx, c.slot.beside(isOld, r.mark))
	}
	r.done = err == nil
	return failed("discarding what was live before the restore of", r.target.Live, err)
}
