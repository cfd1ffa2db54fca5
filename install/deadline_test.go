package install

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An update has one deadline for its installer, which is the context's.
func TestR11CommandHasTheDeadlineOfItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Hour)
		defer cancel()
		require.Equal(t, 5*time.Hour, Command{}.within(ctx).Deadline)
		require.Equal(t, time.Minute, Command{Deadline: time.Minute}.within(ctx).Deadline)
		require.Zero(t, Command{}.within(t.Context()).Deadline, "defaultDeadline, by check")
		time.Sleep(6 * time.Hour)
		require.Positive(t, Command{}.within(ctx).Deadline, "a deadline that has passed is not none")
	})
}
