package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An announcedSite writes down what its users are notified of, and when they are kept out.
type announcedSite struct{ *scriptSite }

var beginsIn = regexp.MustCompile(`"begins":"[^"]*"`)

func newAnnouncedSite(t *testing.T, before string) announcedSite {
	t.Helper()
	s := announcedSite{newScriptSite(t, `
close = ['/bin/sh', '-c', 'echo closed >> "${OWN}/notices"; test ! -e "${OWN}/stuck" && touch "${OWN}/closed"']
open = ['/bin/rm', '-f', '${OWN}/closed']
fence_status = ['/usr/bin/test', '!', '-e', '${OWN}/closed']`, `
[announce]
command = ['/bin/sh', '${OWN}/announce', '${OWN}']
before = '`+before+`'
`)}
	s.write(filepath.Join(s.own, "announce"), `echo "$ASPUPDATE_KIND $ASPUPDATE_DISTRIBUTION $ASPUPDATE_VERSION $ASPUPDATE_BEGINS" >> "$1/notices"
cat > "$1/text.new" && mv "$1/text.new" "$1/text"
test ! -e "$1/mute"
`)
	s.env = append(s.env, "LC_ALL=en_US.UTF-8")
	s.installed("7.12.100")
	s.publish("7.13.100", "Setup", "echo 7.13.100 > $1/version\n")
	return s
}

// notices returns what users were notified of, and begins anew.
func (s announcedSite) notices() (kinds []string) {
	s.t.Helper()
	path := filepath.Join(s.own, "notices")
	text, _ := os.ReadFile(path)
	_ = os.Remove(path)
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) > 1 {
			require.Len(s.t, words, 4, line)
			require.Equal(s.t, []string{"АСП", "7.13.100"}, words[1:3])
			_, err := time.Parse(time.RFC3339, words[3])
			require.NoError(s.t, err)
		}
		kinds = append(kinds, words[0])
	}
	return kinds
}

func (s announcedSite) touch(name string) { s.write(filepath.Join(s.own, name), "") }

func (s announcedSite) record() string {
	return filepath.Join(s.own, "state", "announce", "announced.json")
}

func TestUsersAreToldBefore(t *testing.T) {
	t.Parallel()
	s := newAnnouncedSite(t, "1s")
	code, out := s.run("fetch")
	require.Zero(t, code, out)
	code, out = s.run("plan")
	require.Zero(t, code, out)
	require.Contains(t, out, "users are notified, and kept out 1 min later")
	require.Empty(t, s.notices(), "a plan notifies no user")

	// The fence fails: what was announced does not come.
	s.touch("stuck")
	code, out = s.run("update", "--yes")
	require.Equal(t, exitAbandoned, code, out)
	require.Equal(t, []string{"announced", "closed", "canceled"}, s.notices())
	require.NoFileExists(t, s.record())
	require.NoError(t, os.Remove(filepath.Join(s.own, "stuck")))

	// The command fails: that is said, and tried again, and the update goes on.
	s.touch("mute")
	begun := time.Now()
	code, out = s.run("update", "--yes")
	require.Zero(t, code, out)
	require.GreaterOrEqual(t, time.Since(begun), time.Second, "the lead time was waited for")
	require.Contains(t, out, "announce.command failed (announced), and the update does not wait for it: ")
	require.Equal(t, []string{"announced", "closed"}, s.notices())
	require.NoFileExists(t, s.record())
	text, err := os.ReadFile(filepath.Join(s.own, "text"))
	require.NoError(t, err)
	require.Contains(t, string(text), "users are kept out from 20")
	require.Contains(t, string(text), "update to АСП 7.13.100\nfor how long is not known\n")
	code, out = s.run("recover")
	require.Zero(t, code, out)
	require.Empty(t, s.notices())
}

// killed starts an update, which waits for its lead time, and kills it.
func (s announcedSite) killed(t *testing.T) {
	t.Helper()
	cmd := exec.Command(program, "update", "--yes", "--config", s.config())
	cmd.Env = append(append(os.Environ(), "SITE_FTP_PASSWORD="+s.server.Password), s.env...)
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(s.own, "text"))
		return err == nil
	}, 2*time.Minute, 20*time.Millisecond)

	// Others leave it alone while it waits.
	code, out := s.run("recover")
	require.Zero(t, code, out)
	code, out = s.run("update", "--yes")
	require.Equal(t, exitBusy, code, out)
	s.last = ""
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.NoError(t, os.Remove(filepath.Join(s.own, "text")))
	require.Equal(t, []string{"announced"}, s.notices())
	require.FileExists(t, s.record())
}

// TestAKilledAnnouncement: it is canceled once, by whatever runs next, or kept.
func TestAKilledAnnouncement(t *testing.T) {
	t.Parallel()
	s := newAnnouncedSite(t, "1h")
	s.killed(t)
	s.touch("mute")
	code, out := s.run("recover")
	require.Zero(t, code, out)
	require.Contains(t, out, "announce.command failed (canceled)")
	require.Equal(t, []string{"canceled"}, s.notices())
	require.NoError(t, os.Remove(filepath.Join(s.own, "mute")))
	for range 2 {
		code, out = s.run("recover")
		require.Zero(t, code, out)
	}
	require.Equal(t, []string{"canceled"}, s.notices(), "until it has succeeded, and not again")
	require.NoFileExists(t, s.record())

	// The same update again, before its time: users know of it. The time is brought nearer than an hour.
	_ = os.Remove(filepath.Join(s.own, "text"))
	s.killed(t)
	record, err := os.ReadFile(s.record())
	require.NoError(t, err)
	soon := time.Now().Add(3 * time.Second).UTC()
	s.write(s.record(), beginsIn.ReplaceAllString(string(record), `"begins":"`+soon.Format(time.RFC3339Nano)+`"`))
	config, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), strings.Replace(string(config), "before = '1h'", "before = '1s'", 1))
	code, out = s.run("update", "--yes")
	require.Zero(t, code, out)
	notices := s.notices()
	if len(notices) > 2 { // on a machine that needed more than these seconds to get here
		require.Equal(t, []string{"canceled", "announced", "closed"}, notices)
	} else {
		require.Equal(t, []string{"closed"}, notices)
		require.False(t, time.Now().Before(soon))
	}
	require.NoFileExists(t, s.record())
}
