package process_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/process"
)

func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, calls := time.Now(), 0
		alive := func() (bool, error) { calls++; return time.Since(begun) < time.Minute, nil }
		cause, err := process.Poll(t.Context(), alive)
		require.NoError(t, cause)
		require.NoError(t, err)
		require.InDelta(t, time.Minute, time.Since(begun), float64(250*time.Millisecond))
		require.InDelta(t, 245, calls, 3, "four times a second once the interval has grown")

		why := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		cause, err = process.Poll(ctx, func() (bool, error) { return true, nil })
		require.Equal(t, why, cause)
		require.NoError(t, err)

		cause, err = process.Poll(ctx, func() (bool, error) { return false, nil })
		require.NoError(t, cause, "the end counts, even after ctx")
		require.NoError(t, err)

		cause, err = process.Poll(t.Context(), func() (bool, error) { return true, why })
		require.NoError(t, cause)
		require.Equal(t, why, err)
	})
}
