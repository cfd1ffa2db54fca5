package roles

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aspupdate/aspupdate/rollback"
)

// Fence returns several fences as one, the outermost first: the application's
// entry, then its services, then its databases.
//
// Close closes the fences in order. It returns the first error, and leaves closed
// what it has closed: Open opens it. Without a fence it fails; to go without one
// use [rollback.NoFence]. Open opens all fences in reverse order, also those that
// were never closed: after a crash it is unknown which were. It stops at the first
// error, so that users are not let in while a fence behind is closed. Settle settles
// those that can leave a process, such as a [Switch].
func Fence(list ...rollback.Fence) rollback.Fence { return fences(list) }

type fences []rollback.Fence

func (f fences) Close(ctx context.Context) error {
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

func (f fences) Settle(ctx context.Context) (bool, error) { return settleAll(ctx, f...) }

func (f fences) Open(ctx context.Context) error {
	for _, one := range slices.Backward(f) {
		if err := one.Open(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Unwrap returns the fences, each of which [rollback.Update.FenceState] asks
// whether it is closed.
func (f fences) Unwrap() []rollback.Fence { return f }

// OpenOnly returns a fence that opens f and never closes it. The fence of an
// update must have it for each [Data] that has f as its own Fence: a crash during
// the snapshot leaves f closed.
func OpenOnly(f rollback.Fence) rollback.Fence { return openOnly{f} }

type openOnly struct{ rollback.Fence }

func (openOnly) Close(context.Context) error { return nil }

// String returns the name of the fence. One without a name may have a password
// in its fields.
func (o openOnly) String() string {
	if s, ok := o.Fence.(fmt.Stringer); ok {
		return s.String()
	}
	return ""
}

// Closed reports a fence that is closed. One that is open is as it should be
// while the update keeps users out, so that it has nothing to say.
func (o openOnly) Closed(ctx context.Context) (bool, error) {
	c, ok := o.Fence.(interface {
		Closed(ctx context.Context) (bool, error)
	})
	if !ok {
		return false, errors.ErrUnsupported
	}
	closed, err := c.Closed(ctx)
	if err == nil && !closed {
		err = errors.ErrUnsupported
	}
	return closed, err
}

// Application returns several applications as one. One that depends on another
// comes before it: Stop stops them in order, Start starts them in reverse order, and
// both return the first error. Settle settles those that can leave a process.
func Application(list ...rollback.Application) rollback.Application { return applications(list) }

type applications []rollback.Application

func (a applications) Settle(ctx context.Context) (bool, error) { return settleAll(ctx, a...) }

func (a applications) Unwrap() []rollback.Application { return a }

// Closed reports whether one of the applications is stopped. The error is
// [errors.ErrUnsupported] if none is known to be stopped and one cannot be asked.
func (a applications) Closed(ctx context.Context) (stopped bool, err error) {
	for _, one := range a {
		c, ok := one.(interface {
			Closed(ctx context.Context) (bool, error)
		})
		stopped, oneErr := false, errors.ErrUnsupported
		if ok {
			stopped, oneErr = c.Closed(ctx)
		}
		if oneErr == nil && stopped {
			return true, nil
		}
		err = errors.Join(err, oneErr)
	}
	return false, err
}

func (a applications) Stop(ctx context.Context) error {
	for _, one := range a {
		if err := one.Stop(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (a applications) Start(ctx context.Context) error {
	for _, one := range slices.Backward(a) {
		if err := one.Start(ctx); err != nil {
			return err
		}
	}
	return nil
}
