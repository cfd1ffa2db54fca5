package roles

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aspupdate/aspupdate/backup"
)

// Compare fails unless the live data equals the snapshot, for a Target that can compare, see
// [backup.Target]. A difference that SetupWrites allows is a warning. The error has a method Differs if it wraps [backup.ErrMismatch]; any
// other means that the data could not be compared, [errors.ErrUnsupported] that Target never can.
func (d Data) Compare(ctx context.Context, ref string) (again bool, err error) {
	c, ok := d.Target.(interface {
		Compare(ctx context.Context, dir string, m backup.Meta) (again bool, err error)
	})
	if !ok {
		return false, errors.ErrUnsupported
	}
	snap, err := d.Store.Get(ref)
	if err != nil {
		return false, err
	}
	dir, err := d.Store.Path(ref)
	if err != nil {
		return false, err
	}
	again, err = c.Compare(d.recorded(ctx), dir, snap.Meta)
	switch {
	case !errors.Is(err, backup.ErrMismatch):
	case d.SetupWrites != "" && !again:
		if d.Store.Observe != nil {
			d.Store.Observe(backup.Event{Time: time.Now().UTC(), Kind: backup.EventWarning,
				Text: d.Name + ": " + fmt.Sprintf("after the previous version's Setup, which writes there (%s): %v", d.SetupWrites, err)})
		}
		return false, nil
	default:
		err = differsError{err}
	}
	return again, err
}

// A differsError is that the live data is not what was backed up.
type differsError struct{ error }

func (e differsError) Unwrap() error { return e.error }

// Differs reports that the data was read, and differs.
func (differsError) Differs() bool { return true }
