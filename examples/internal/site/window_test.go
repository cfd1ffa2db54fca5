package site

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/schedule"
)

// TestR13ConfiguredWindow: a release of Wednesday 20:00 can be installed from 10:00
// on the next working day.
func TestR13ConfiguredWindow(t *testing.T) {
	conf := windowConfig{Backup: strict.Duration(20 * time.Minute), Checks: strict.Duration(5 * time.Minute), Rollback: strict.Duration(30 * time.Minute), Local: "MSK+4"}
	w := conf.hours(false, nil)
	wednesday := time.Date(2026, 3, 4, 20, 0, 0, 0, schedule.MSK(0))
	slot, err := w.Next(t.Context(), wednesday)
	require.NoError(t, err)
	require.Equal(t, "2026-03-05 10:00", slot.Start.In(moscow).Format("2006-01-02 15:04"))
	// R11's worst case of 4 min and 2 h, with the way back, ends at 19:00.
	require.Equal(t, "2026-03-05 16:01", slot.LatestStart.In(moscow).Format("2006-01-02 15:04"))

	// Before the first damage the backup is done: what is left must still fit.
	latest := slot.LatestStart.Add(20 * time.Minute)
	require.NoError(t, w.Fits(t.Context(), latest))
	require.Error(t, w.Fits(t.Context(), latest.Add(time.Minute)))

	// R14 makes it longer.
	conf.FirstOfYearExtra = strict.Duration(time.Hour)
	slot, err = conf.hours(true, nil).Next(t.Context(), wednesday)
	require.NoError(t, err)
	require.Equal(t, "15:01", slot.LatestStart.In(moscow).Format("15:04"))
	require.Equal(t, "2026-03-05 10:00 MSK (14:00 here)", Clock{conf.zone()}.Time(slot.Start))
}

func TestR14IsAboutTheYearAndNotTheStep(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"7.12.200", "7.13.100", true},  // December 2019 to January 2020
		{"7.11.100", "7.14.300", true},  // R8: January was skipped
		{"7.13.100", "7.24.200", false}, // January to December 2020
		{"7.36.200", "8.01.100", true},
		{"", "7.13.100", false}, // a first installation
	} {
		got, err := crossesYear(oneStep("АСП", c.from, c.to))
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%s to %s", c.from, c.to)
	}
}

// R11: the plan uses the duration of the last backup, if it is longer than
// configured.
func TestR11PlanUsesTheMeasuredBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	app := filepath.Join(dir, "app")
	require.NoError(t, os.Mkdir(app, 0o700))
	clock := time.Date(2026, 1, 13, 4, 0, 0, 0, time.UTC)
	store := &backup.Store{Dir: filepath.Join(dir, "backups"), Now: func() time.Time {
		clock = clock.Add(time.Minute)
		return clock
	}}
	var warnings []string
	s := &Site{
		Config: &Config{
			Backups: store.Dir, Directories: []pathConfig{{Path: app}},
			Window: windowConfig{Backup: strict.Duration(30 * time.Second), Checks: strict.Duration(time.Minute), Rollback: strict.Duration(time.Minute)},
		},
		Observe: Observe{Warn: func(text string) { warnings = append(warnings, text) }},
	}
	estimate := func() time.Duration {
		u := &rollback.Update{}
		s.protect(u)
		w, err := s.window(false, u.Data)
		require.NoError(t, err)
		return w.(roles.Window).Estimate.Backup
	}
	require.Equal(t, 30*time.Second, estimate(), "nothing is measured yet")
	require.Empty(t, warnings)
	snap, err := store.Take(t.Context(), "before an update: folder "+app, &files.Directory{Path: app})
	require.NoError(t, err)
	took := snap.Sealed.Sub(snap.Started)
	require.GreaterOrEqual(t, took, time.Minute)
	require.Equal(t, took, estimate())
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "window.backup")
	s.Config.Window.Backup = strict.Duration(time.Hour)
	require.Equal(t, time.Hour, estimate(), "the worst case that a person gave is not made smaller")
	other, err := store.Took("another")
	require.NoError(t, err)
	require.Zero(t, other)
}
