package roles_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/schedule"
)

// A release of Wednesday 20:00 may be installed on the next working day from
// 10:00 on.
func TestR13Window(t *testing.T) {
	w := roles.Window{Estimate: schedule.Estimate{Backup: 20 * time.Minute, Checks: 5 * time.Minute, Rollback: 30 * time.Minute}}
	clock := func(at time.Time) string { return at.In(schedule.MSK(0)).Format("2006-01-02 15:04") }
	slot, err := w.Next(t.Context(), time.Date(2026, 3, 4, 20, 0, 0, 0, schedule.MSK(0)))
	require.NoError(t, err)
	require.Equal(t, "2026-03-05 10:00", clock(slot.Start))
	// R11's worst case of 4 min and 2 h, with the rollback, ends at 19:00.
	require.Equal(t, "2026-03-05 16:01", clock(slot.LatestStart))

	// Before the first damage the backup is done: the rest must still fit.
	latest := slot.LatestStart.Add(20 * time.Minute)
	require.NoError(t, w.Fits(t.Context(), latest))
	require.ErrorIs(t, w.Fits(t.Context(), latest.Add(time.Minute)), schedule.ErrOutside, "the window closes")
	require.ErrorIs(t, w.Fits(t.Context(), slot.Start.Add(-time.Minute)), schedule.ErrOutside, "it is not open yet")
	require.False(t, w.Estimate.BackupDone)

	_, err = roles.Window{}.Next(t.Context(), slot.Start)
	require.ErrorIs(t, err, schedule.ErrIncomplete)
}
