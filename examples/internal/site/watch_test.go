package site

import (
	"io"
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

// TestMain also is a command for the tests, on every system: "append-input FILE".
func TestMain(m *testing.M) {
	if len(os.Args) != 3 || os.Args[1] != "append-input" {
		os.Exit(m.Run())
	}
	f, err := os.OpenFile(os.Args[2], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = io.Copy(f, os.Stdin)
	}
	if err != nil {
		os.Exit(1)
	}
	os.Exit(0)
}

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

// TestWatchRepeatsAnEventAfterAnError has a command that fails first.
func TestWatchRepeatsAnEventAfterAnError(t *testing.T) {
	dir := t.TempDir()
	server := fetchtest.New(t)
	server.Put("/АСП/9.23.100/Setup.exe", []byte("installer"), time.Now().Add(-time.Hour))
	self, err := os.Executable()
	require.NoError(t, err)
	events := filepath.Join(dir, "not yet", "events")
	t.Setenv("ASPUPDATE_TEST_SECRET", "correct horse")
	text := strings.NewReplacer("127.0.0.1:1'", server.Addr+"'\nsettle = '1ms'",
		"[window]", "[watch]\ncommand = ['"+self+"', 'append-input', '"+events+"']\n[window]").Replace(goodConfig(dir))
	path := filepath.Join(dir, "aspupdate.toml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := Load(path)
	require.NoError(t, err)
	s := &Site{Config: c}
	w := s.watch()
	var reported []string
	w.Report = s.report(func(e Event) error { reported = append(reported, e.Text); return nil })

	err = w.Check(t.Context(), s.Source())
	require.ErrorContains(t, err, "watch.command")
	require.ErrorContains(t, err, "the next check reports it again")
	require.NotContains(t, strings.Join(reported, "\n"), "released", "nothing was reported")
	require.NoError(t, os.Mkdir(filepath.Dir(events), 0o700))
	require.NoError(t, w.Check(t.Context(), s.Source()))
	require.NoError(t, w.Check(t.Context(), s.Source()))
	got, err := os.ReadFile(events)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(got), `"kind":"released"`), "once: %s", got)
	require.Contains(t, strings.Join(reported, "\n"), "АСП 9.23.100: released")
}
