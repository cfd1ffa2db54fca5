package site

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/backup/files"
	"github.com/aspupdate/aspupdate/examples/internal/strict"
	"github.com/aspupdate/aspupdate/rollback"
	"github.com/aspupdate/aspupdate/rollback/roles"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
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
		got, err := crossesYear(schedule.Numbering{}, oneStep("АСП", c.from, c.to))
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%s to %s", c.from, c.to)
	}
}

// TestConfiguredCalendar: quiet hours, days without updates, working Saturdays and epochs, as they are
// written.
func TestConfiguredCalendar(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	load := func(window, calendar string) (*Config, error) {
		text := strings.Replace(goodConfig(dir), "any_time = 'a test'", "backup = '20m'\nchecks = '5m'\nrollback = '30m'\ntypical = true\n"+window+"\n[calendar]\n"+calendar, 1)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return Load(path)
	}
	slot := func(from, window string) string {
		t.Helper()
		c, err := load(window, "")
		require.NoError(t, err)
		at, err := time.ParseInLocation("2006-01-02 15:04", from, moscow)
		require.NoError(t, err)
		got, err := c.Slot(at)
		require.NoError(t, err)
		return got.Start.In(moscow).Format("2006-01-02 15:04")
	}
	const thursday = "2026-03-05 08:00"
	require.Equal(t, "2026-03-05 10:00", slot(thursday, ""))
	require.Equal(t, "2026-03-05 13:00", slot(thursday, "quiet_hours = ['13:00-18:00']"))
	require.Equal(t, "2026-03-05 12:00", slot(thursday, "local = 'MSK+4'\nquiet_hours = ['16:00-06:00']"), "in the site's zone, and over midnight")
	require.Equal(t, "2026-03-06 12:00", slot(thursday, "quiet_hours = ['fri,sat 12:00-24:00', 'mon 00:00-24:00']"))
	require.Equal(t, "2026-03-10 10:00", slot(thursday, "blackouts = ['2026-03-05..2026-03-08 the annual reports', '2026-03-09']"))
	require.Equal(t, "2026-03-05 10:00", slot(thursday, "blackouts = ['2026-03-06']"))
	require.Equal(t, "2021-02-24 10:00", slot("2021-02-20 08:00", ""), "the 20th was a Saturday on which people worked, the 22nd and 23rd days off")
	require.Equal(t, "2021-02-20 10:00", slot("2021-02-20 08:00", "working_saturdays = true"))

	c, err := load("blackouts = ['2026-03-05 the annual reports']", "epochs = { '9' = '2025-03', '10' = '2028-01', '8' = '2022-01' }")
	require.NoError(t, err)
	w := c.Window.hours(false, c.Days())
	plan, err := w.Planner.Plan(time.Date(2026, 3, 5, 8, 0, 0, 0, moscow), w.Estimate, 1)
	require.NoError(t, err)
	require.Contains(t, plan.Passed[0].Why(), "the annual reports")
	for v, want := range map[string]string{"8.38.100": "2025-02", "9.01.100": "2025-03", "9.23.100": "2027-01"} {
		year, month, err := c.Calendar.numbering.Month(version.MustParse(v))
		require.NoError(t, err, v)
		require.Equal(t, want, fmt.Sprintf("%d-%02d", year, month), v)
	}
	crosses, err := crossesYear(c.Calendar.numbering, oneStep("АСП", "9.10.200", "9.11.100")) // December 2025 to January 2026
	require.NoError(t, err)
	require.True(t, crosses)
	agenda, err := c.Agenda(schedule.NewDate(2026, 3, 1), schedule.NewDate(2026, 3, 31))
	require.NoError(t, err)
	require.Equal(t, "9.13.100", agenda.Releases[0].Version.String())

	for keys, want := range map[[2]string]string{
		{"quiet_hours = ['13:00']"}:                           `window.quiet_hours has "13:00": write`,
		{"quiet_hours = ['13:00-25:00']"}:                     `window.quiet_hours has "13:00-25:00"`,
		{"quiet_hours = ['13:70-14:00']"}:                     `window.quiet_hours has "13:70-14:00"`,
		{"quiet_hours = ['24:00-06:00']"}:                     `window.quiet_hours has "24:00-06:00"`,
		{"quiet_hours = ['13:00-13:00']"}:                     `window.quiet_hours has "13:00-13:00"`,
		{"quiet_hours = ['10:00-12:00', 'so 1:0-2:0']"}:       `window.quiet_hours has "so 1:0-2:0"`,
		{"quiet_hours = ['so 10:00-12:00']"}:                  `window.quiet_hours has "so 10:00-12:00"`,
		{"blackouts = ['31.12.2026']"}:                        `window.blackouts has "31.12.2026": write`,
		{"blackouts = ['2026-12-31..2026-12-01 x']"}:          `window.blackouts has "2026-12-31..2026-12-01 x"`,
		{"blackouts = ['2026-02-30']"}:                        `window.blackouts has "2026-02-30"`,
		{"", "epochs = { 'nine' = '2025-03' }"}:               `calendar.epochs has "nine" = "2025-03": write`,
		{"", "epochs = { '9' = 'March' }"}:                    `calendar.epochs has "9" = "March"`,
		{"", "epochs = { '8' = '2026-01', '9' = '2025-03' }"}: `calendar.epochs: `,
	} {
		_, err := load(keys[0], keys[1])
		require.ErrorIs(t, err, ErrConfig, keys)
		require.ErrorContains(t, err, want)
		require.Regexp(t, `\.toml:\d+:\d+: `, err.Error())
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
		w, err := s.window(false, u)
		require.NoError(t, err)
		return w.(roles.Window).Estimate.Backup
	}
	require.Equal(t, 30*time.Second, estimate(), "nothing is measured yet")
	require.Empty(t, warnings)
	snap, err := store.Take(t.Context(), "before an update: folder "+app, &files.Directory{Path: app})
	require.NoError(t, err)
	took := snap.Sealed.Sub(snap.Started)
	require.GreaterOrEqual(t, took, time.Minute)
	require.Equal(t, 2*took, estimate(), "a directory that changes after its early backup is backed up again")
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], "window.backup")
	s.Config.Window.Backup = strict.Duration(time.Hour)
	require.Equal(t, time.Hour, estimate(), "the worst case that a person gave is not made smaller")
	other, err := store.Took("another")
	require.NoError(t, err)
	require.Zero(t, other)
}
