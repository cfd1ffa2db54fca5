package site

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/fetch"
	"github.com/aspupdate/aspupdate/fetch/fetchtest"
	"github.com/aspupdate/aspupdate/fetch/watch"
	"github.com/aspupdate/aspupdate/schedule"
	"github.com/aspupdate/aspupdate/version"
)

// TestR4NextCheck: 9.23.200 is due on Wednesday, 18 November 2026 at 20:00. Checks
// are frequent until every distribution of a bundle has it.
func TestR4NextCheck(t *testing.T) {
	at := func(day, hour, minute int) time.Time {
		return time.Date(2026, 11, day, hour, minute, 0, 0, schedule.MSK(0))
	}
	see := func(v string, when time.Time) watch.Seen {
		return watch.Seen{Release: fetch.Release{Distribution: "АСП", Version: version.MustParse(v)}, FirstSeen: when}
	}
	before := []watch.Seen{see("9.23.100", at(4, 20, 5))}
	after := append([]watch.Seen{see("9.23.200", at(18, 20, 40))}, before...)
	s := &Site{Config: &Config{}}
	require.Equal(t, at(18, 21, 45), s.nextCheck(at(18, 20, 45), []string{"АСП"}, after))
	// Another distribution of the bundle has not come yet.
	require.Equal(t, at(18, 20, 50), s.nextCheck(at(18, 20, 45), []string{"АСП", "Опека"}, after))

	due, err := s.late("АСП", before, at(19, 0, 0))
	require.NoError(t, err)
	require.True(t, due.Equal(at(18, 20, 0)))
	due, err = s.late("АСП", after, at(19, 0, 0))
	require.NoError(t, err)
	require.Zero(t, due)
}

// TestWatchRepeatsAnEventAfterAnError has a report that fails first.
func TestWatchRepeatsAnEventAfterAnError(t *testing.T) {
	dir := t.TempDir()
	server := fetchtest.New(t)
	server.Put("/АСП/9.23.100/Setup.exe", []byte("installer"), time.Now().Add(-time.Hour))
	text := strings.NewReplacer("127.0.0.1:1'", server.Addr+"'\nsettle = '1ms'").Replace(goodConfig(dir))
	path := filepath.Join(dir, "aspupdate.toml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := Load(path)
	require.NoError(t, err)
	s := &Site{Config: c}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var reported []string
	failing := errors.New("the disk is full")
	w := s.watch()
	w.Report = s.reports(func(e Event) error {
		reported = append(reported, e.Text)
		return failing
	})
	err = w.Check(ctx, s.Source())
	require.ErrorIs(t, err, failing)
	require.ErrorContains(t, err, "the next check reports it again")
	failing, reported = nil, nil
	require.NoError(t, w.Check(ctx, s.Source()))
	require.NoError(t, w.Check(ctx, s.Source()))
	require.Equal(t, 1, strings.Count(strings.Join(reported, "\n"), "АСП 9.23.100: released"), "once: %q", reported)
}
