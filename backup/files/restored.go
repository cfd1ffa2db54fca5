package files

import (
	"context"
	"errors"
	"fmt"
)

// restored is what the restores of this package return.
type restored struct {
	slot slot
	mark string
	old  bool // something was live before
	done bool
}

func (r *restored) Undo(ctx context.Context) error {
	if r.done {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	wasLive, err := exists(r.slot.path)
	if err != nil {
		return err
	}
	if err := r.slot.recover(); err != nil {
		return err
	}
	old := r.slot.beside(isOld, r.mark)
	if r.old {
		kept, err := exists(old)
		if err != nil {
			return err
		}
		if !kept {
			if !wasLive { // an Undo that was cut short: recover has finished it
				r.done = true
				return nil
			}
			return fmt.Errorf("%s is gone: nothing to go back to", old)
		}
	}
	if err := r.undo(old); err != nil {
		return errors.Join(fmt.Errorf("undoing the restore of %s: %w", r.slot.path, err), r.slot.recover())
	}
	r.done = true
	return r.slot.recover() // removes what was undone
}

func (r *restored) undo(old string) error {
	live, err := exists(r.slot.path)
	undone, fresh := r.slot.beside(isUndone, r.mark), r.slot.beside(isNew, r.mark)
	switch {
	case err != nil:
		return err
	case r.old && live:
		return r.slot.unswap(undone, fresh, old)
	case r.old:
		if err := r.slot.dropCompanions(r.slot.path); err != nil {
			return err
		}
		return r.slot.arrive(old)
	case live:
		return r.slot.leave(undone)
	}
	return nil
}

func (r *restored) Discard(ctx context.Context) error {
	if r.done {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.slot.remove(r.slot.beside(isOld, r.mark)); err != nil {
		return err
	}
	r.done = true
	return nil
}
