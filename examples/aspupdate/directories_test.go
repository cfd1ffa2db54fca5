package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDirectoriesAreCheckedBeforeFetching has the archive inside the
// application: update refuses it before it fetches anything into it.
func TestDirectoriesAreCheckedBeforeFetching(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, "close = ['/bin/true']\nopen = ['/bin/true']\n[[directory]]\npath = '${SITE}'", "")
	s.installed("7.12.100")
	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
	archive := filepath.Join(s.site, "archive")
	require.NoError(t, os.Rename(filepath.Join(s.own, "archive"), archive))
	text, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), strings.Replace(string(text), s.own+"/archive", archive, 1))
	s.repair = func(next string) {
		require.Contains(t, next, "fix what the message names")
		s.write(s.config(), string(text))
		_ = os.Rename(archive, filepath.Join(s.own, "archive"))
	}
	code, out := s.run("update")
	require.Equal(t, exitDirectories, code, out)
	require.NoDirExists(t, filepath.Join(archive, "АСП", "7.12.200"))
}
