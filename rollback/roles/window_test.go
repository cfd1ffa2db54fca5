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

// Many databases take longer than one, four at a time; what they took is planned for.
func TestR11WindowMeasuresTheLastMigrations(t *testing.T) {
	estimate := func(e schedule.Estimate, parallel int, took ...time.Duration) time.Duration {
		w, err := roles.Window{Estimate: e}.Measured(nil, took, parallel)
		require.NoError(t, err)
		return w.Estimate.Restructuring
	}
	all := make([]time.Duration, 43) // 11 rounds of 15 min
	typical, given := schedule.Estimate{Typical: true}, schedule.Estimate{Restructuring: time.Hour}
	require.Zero(t, estimate(schedule.Estimate{}, 4), "R11's 2 h")
	require.Zero(t, estimate(schedule.Estimate{}, 4, all[:20]...), "75 min are less than R11's 2 h")
	require.Equal(t, 165*time.Minute, estimate(schedule.Estimate{}, 4, all...))
	require.Zero(t, estimate(typical, 4), "R11's 15 min")
	require.Zero(t, estimate(typical, 4, all[:4]...))
	require.Equal(t, 30*time.Minute, estimate(typical, 4, all[:5]...))
	require.Equal(t, time.Hour, estimate(given, 4, all...), "a person gave it")

	all[0] = 3 * time.Hour
	require.Equal(t, 210*time.Minute, estimate(typical, 4, all...), "the others are done three at a time")
	require.Equal(t, 3*time.Hour, estimate(schedule.Estimate{}, 0, all[0]))
	require.Equal(t, 3*time.Hour, estimate(given, 4, all...))
}
