package roles

import (
	"context"
	"errors"
	"slices"

	"github.com/aspupdate/aspupdate/rollback"
)

// A Fence is several fences as one [rollback.Fence], the outermost first: the
// application's entry, then its services, then its databases.
type Fence []rollback.Fence

// Close closes the fences in order. It returns the first error, and leaves closed
// what it has closed: Open opens it. An empty Fence is an error; to go without a
// fence use [rollback.NoFence].
func (f Fence) Close(ctx context.Context) error {
	if len(f) == 0 {
		return errors.New("the fence is empty; use rollback.NoFence to go without one")
	}
	for _, one := range f {
		if err := one.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Open opens all fences in reverse order, also those that were never closed: after
// a crash it is unknown which were. It stops at the first error, so that users are
// not let in while a fence behind is closed.
func (f Fence) Open(ctx context.Context) error {
	for _, one := range slices.Backward(f) {
		if err := one.Open(ctx); err != nil {
			return err
		}
	}
	return nil
}

// OpenOnly returns a fence that opens f and never closes it. The [Fence] of an
// update must have it for each [Data] that has f as its own Fence: a crash during
// the snapshot leaves f closed.
func OpenOnly(f rollback.Fence) rollback.Fence { return openOnly{f} }

type openOnly struct{ rollback.Fence }

func (openOnly) Close(context.Context) error { return nil }

// An Application is several applications as one [rollback.Application]. One that
// depends on another comes before it.
type Application []rollback.Application

// Stop stops the applications in order, and returns the first error.
func (a Application) Stop(ctx context.Context) error {
	for _, one := range a {
		if err := one.Stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Start starts the applications in reverse order, and returns the first error.
func (a Application) Start(ctx context.Context) error {
	for _, one := range slices.Backward(a) {
		if err := one.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}
