package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestRehearsalNamesWhatCannotBeDoneTwice rehearses with PostgreSQL: everything is
// as before, and a command that fails when there is nothing to do is named, until
// a status command makes that unnecessary.
func TestRehearsalNamesWhatCannotBeDoneTwice(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	running := filepath.Join(s.dir, "running")
	require.NoError(t, os.WriteFile(running, nil, 0o600))
	configure := func(status string) {
		s.config = map[string]string{"[window]\n": fmt.Sprintf(`[application]
close = ['/bin/touch', '%[1]s/closed']
open = ['/bin/rm', '-f', '%[1]s/closed']
fence_status = ['/usr/bin/test', '!', '-e', '%[1]s/closed']
stop = ['/bin/rm', '%[1]s/running']
start = ['/bin/sh', '-c', '! [ -e "$0" ] && touch "$0"', '%[1]s/running']
%[2]s
[window]
`, s.dir, status)}
		s.writeConfig(t)
	}
	for _, b := range bundle { // the server has something
		s.publish(t, installed, map[string]string{b.distribution: ""})
	}
	configure("")
	code, out, errs := s.run(t, "doctor", "--rehearse")
	require.NotZero(t, code, out+errs)
	require.Regexp(t, `(?m)^fix +rehearsal stop: the application cannot be done twice, as after a crash: .*give application.status$`, out)
	require.Regexp(t, `(?m)^fix +rehearsal start: the application cannot be done twice`, out)
	require.Regexp(t, `(?m)^ok +rehearsal close: application.close`, out)
	require.Regexp(t, `(?m)^ok +rehearsal snapshot: postgres asp: verified in .*, and proven by restoring it beside`, out)
	s.inOrder(t, installed)

	configure(fmt.Sprintf("status = ['/usr/bin/test', '-e', '%s']", running))
	code, out, errs = s.run(t, "doctor", "--rehearse")
	require.Zero(t, code, out+errs)
	require.FileExists(t, running)
	require.NoFileExists(t, filepath.Join(s.dir, "closed"))
	s.inOrder(t, installed)
	require.Equal(t, []string{"asp", "opeka", "postgres"}, s.databases(t), "nothing is left behind")
	left, err := filepath.Glob(filepath.Join(s.dir, "backups", ".rehearsal*"))
	require.NoError(t, err)
	require.Empty(t, left)

	// A rehearsal that dies leaves users out, and the lines lead out.
	began := time.Now()
	_, kill := (&soak{realSite: s}).start(t, "doctor", "--rehearse")
	require.Eventually(t, func() bool { _, err := os.Stat(running); return err != nil }, 30*time.Second, time.Millisecond)
	require.True(t, kill(), time.Since(began))
	_, out, errs = s.run(t, "status")
	s.followed(t).follow(t, out+errs)
	s.inOrder(t, installed)
	require.FileExists(t, running)
}
