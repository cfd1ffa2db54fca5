package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestUpdatesFromEveryMakeOfServer fetches trees with Cyrillic names and installs them: an
// update that is committed, and one that is rolled back. The seventh make is ftpserverlib, in
// examples/peers.
func TestUpdatesFromEveryMakeOfServer(t *testing.T) {
	t.Parallel()
	for _, m := range slices.Concat(realtest.Makes(), realtest.MoreMakes()) {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			s := newScriptSiteBy(t, m, "close = ['/bin/true']\nopen = ['/bin/true']", "entry = 'установка.sh'")
			// publish gives a release to the server: a program and what it installs beside it.
			publish := func(version, script string) (dir string) {
				dir = filepath.Join(s.ftp, "АСП", version, "Setup")
				old := time.Now().Add(-time.Hour)
				for name, text := range map[string]string{"установка.sh": script, "данные/ёлка й.txt": "ёлка " + version, "пусто.ini": ""} {
					path := filepath.Join(dir, name)
					require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
					s.write(path, text)
					require.NoError(t, os.Chtimes(path, old, old))
				}
				return dir
			}
			installs := func(version string) string {
				return `cp "$(dirname "$0")/данные/ёлка й.txt" "$1/ёлка" && echo ` + version + ` > "$1/version"` + "\n"
			}
			setup := publish("7.12.100", installs("7.12.100"))
			s.write(filepath.Join(s.site, "version"), "7.12.100\n")
			code, out := s.run("archive", "import", "--distribution", "АСП", "--version", "7.12.100", setup)
			require.Zero(t, code, out)

			publish("7.13.100", installs("7.13.100"))
			code, out = s.run("check")
			require.Zero(t, code, out)
			require.Contains(t, out, "7.13.100")
			code, out = s.run("update", "--yes")
			require.Zero(t, code, out)
			require.Equal(t, "7.13.100\n", s.read("version"))
			require.Equal(t, "ёлка 7.13.100", s.read("ёлка"))

			publish("7.14.100", installs("7.14.100")+"exit 1\n")
			code, out = s.run("update", "--yes")
			require.Equal(t, exitRolledBack, code, out)
			require.Equal(t, "7.13.100\n", s.read("version"))
			require.Equal(t, "ёлка 7.13.100", s.read("ёлка"))
			s.last = "" // nothing to lead out of: the release is bad
		})
	}
}
