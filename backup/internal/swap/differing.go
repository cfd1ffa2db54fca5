package swap

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Differing is the error of a build that is complete, and differs from the backup. Restore
// keeps what was built beside the live data, see [backup.Target].
type Differing struct {
	Err         error    // wraps backup.ErrMismatch
	Differences []string // all of them; what Err says may be shorter
}

func (d *Differing) Error() string { return d.Err.Error() }
func (d *Differing) Unwrap() error { return d.Err }

// A besideError says where it is kept.
type besideError struct {
	*Differing
	name string
}

func (e *besideError) Error() string {
	return fmt.Sprintf("%v; it stays beside the live one as %q", e.Differing, e.name)
}

func (e *besideError) Unwrap() error { return e.Differing }

// Beside returns the name, and how it differs.
func (e *besideError) Beside() (name string, differences []string) { return e.name, e.Differences }

// Unaccepted returns the error of a build with these differences, nil if a person has accepted
// all of them. why is the error for those that are shown.
func Unaccepted(differences, accepted []string, why func([]string) error) error {
	for _, d := range differences {
		if !slices.Contains(accepted, d) {
			return &Differing{why(differences), differences}
		}
	}
	return nil
}

// keep gives what was built the name under which it stays.
func (s *Slot) keep(ctx context.Context, mark string, d *Differing) error {
	ctx, name := context.WithoutCancel(ctx), s.beside(kindDiffers, mark)
	if err := s.rename(ctx, s.beside(kindNew, mark), name); err != nil {
		return errors.Join(d, err, s.clean(ctx, s.beside(kindNew, mark)))
	}
	return &besideError{d, name}
}

// dropDiffering drops what earlier restores have kept.
func (s *Slot) dropDiffering(ctx context.Context, n names) error {
	for _, mark := range n.marks(kindDiffers) {
		if err := s.drop(ctx, n, s.beside(kindDiffers, mark)); err != nil && !errors.Is(err, errStray) {
			return err
		}
	}
	return nil
}
