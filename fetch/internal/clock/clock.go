// Package clock reads a clock that a caller may replace, and waits.
package clock

import (
	"context"
	"time"
)

// Now returns what now returns, or the time if it is nil.
func Now(now func() time.Time) time.Time {
	if now == nil {
		return time.Now()
	}
	return now()
}

// Sleep waits, or returns why ctx is done.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
