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

// Close closes them in order. It stops at the first error and leaves those
// closed that it has closed; Open opens them.
//
// A fence of nothing is an error: [rollback.NoFence] goes without one.
func (f Fence) Close(ctx context.Context) error {
	if len(f) == 0 {
		return errors.New("the fence has no part that keeps users out; use rollback.NoFence to go without a fence")
	}
	for _, one := range f {
		if err := one.Close(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Open opens them in reverse, all of them: after a crash it is not known which
// were closed. It stops at the first error, so that no one enters while what is
// behind is closed.
func (f Fence) Open(ctx context.Context) error {
	for _, one := range slices.Backward(f) {
		if err := one.Open(ctx); err != nil {
			return err
		}
	}
	return nil
}

// OpenOnly returns a fence that opens f and never closes it. It belongs into
// the [Fence] of an update whose [Data] closes f for the snapshot alone: a crash
// during the snapshot leaves f closed.
func OpenOnly(f rollback.Fence) rollback.Fence { return openOnly{f} }

type openOnly struct{ rollback.Fence }

func (openOnly) Close(context.Context) error { return nil }

// An Application is several applications as one [rollback.Application]: those
// that depend on another come before it.
type Application []rollback.Application

// Stop stops them in order. It stops at the first error.
func (a Application) Stop(ctx context.Context) error {
	for _, one := range a {
		if err := one.Stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Start starts them in reverse. It stops at the first error.
func (a Application) Start(ctx context.Context) error {
	for _, one := range slices.Backward(a) {
		if err := one.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}
