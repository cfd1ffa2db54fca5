package roles

import (
	"context"
	"errors"

	"github.com/aspupdate/aspupdate/backup"
)

// Compare fails unless the live data equals the snapshot, for a Target that can
// compare. The error has a method Differs if it wraps [backup.ErrMismatch]; any
// other means that the data could not be compared. Again reports whether it may be restored again after a Setup was
// installed over it. The error is [errors.ErrUnsupported] if Target cannot
// compare.
func (d Data) Compare(ctx context.Context, ref string) (again bool, err error) {
	c, ok := d.Target.(interface {
		Compare(ctx context.Context, m backup.Meta) (again bool, err error)
	})
	if !ok {
		return false, errors.ErrUnsupported
	}
	snap, err := d.Store.Get(ref)
	if err != nil {
		return false, err
	}
	again, err = c.Compare(d.recorded(ctx), snap.Meta)
	if errors.Is(err, backup.ErrMismatch) {
		err = differsError{err}
	}
	return again, err
}

// A differsError is that the live data is not what was backed up.
type differsError struct{ error }

func (e differsError) Unwrap() error { return e.error }

// Differs reports that the data was read, and differs.
func (differsError) Differs() bool { return true }
