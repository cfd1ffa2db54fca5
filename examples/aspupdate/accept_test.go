package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// newUndecidedSite returns a site on which a person must decide: the release was
// broken, and its installer has damaged the backup too. The archive has a Setup of
// the previous version.
func newUndecidedSite(t *testing.T) *scriptSite {
	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
[[directory]]
path = '${SITE}'`, "")
	s.installed("7.12.100")
	s.write(filepath.Join(s.site, "data"), "entered before\n")
	s.publish("7.12.200", "Setup", "echo broken > $1/version\nfind $2 -name '*.zst' -exec sh -c 'chmod 600 $1; echo > $1' - {} ';'\n")
	code, out := s.run("update")
	require.Equal(t, exitOperator, code, out)
	return s
}

func (s *scriptSite) followed(inOrder func() error) *followed {
	return &followed{inOrder: inOrder, run: func(args ...string) (int, string) { return s.run(args[0], args[1:]...) }}
}

// TestTheSupportsHotfixIsAccepted repairs an update that cannot go back by a third
// version. It is committed with its own hash, nothing is restored over it, and it
// is what the next update goes back to. None of it needs the server's password.
func TestTheSupportsHotfixIsAccepted(t *testing.T) {
	t.Parallel()
	s := newUndecidedSite(t)
	hotfix := filepath.Join(s.own, "hotfix.sh")
	s.write(hotfix, "echo 7.12.250 > $1/version\n")
	s.write(filepath.Join(s.site, "version"), "7.12.250\n")
	s.write(filepath.Join(s.site, "data"), "entered before\nentered with the support\n")

	code, out := s.run("recover", "--accept", "the support has installed 7.12.250")
	require.Equal(t, exitPrevious, code, out)
	require.Contains(t, out, "state: refused, and nothing was changed: users are kept out as before")
	require.Contains(t, out, "next: ask support for that Setup, then aspupdate recover --accept REASON --setup FILE (NAME=FILE in a bundle)\n")
	code, out = s.run("archive", "import", "--distribution", "АСП", "--version", "7.12.250", hotfix)
	require.Zero(t, code, out)
	code, out, errs := aspupdate(t, []string{"ASPUPDATE_CONFIG=" + s.config()}, "recover", "--accept", "the support has installed 7.12.250")
	require.Zero(t, code, out+errs)
	require.NoFileExists(t, filepath.Join(s.own, "closed"))
	require.Equal(t, "entered before\nentered with the support\n", s.read("data"), "nothing was restored over it")
	code, out = s.run("status")
	require.Zero(t, code, out)
	require.Contains(t, out, "committed 7.12.250")

	s.publish("7.12.300", "Setup", "echo broken > $1/version\n")
	code, out = s.run("update")
	require.Equal(t, exitRolledBack, code, out)
	require.Equal(t, "7.12.250\n", s.read("version"))
	require.Equal(t, "entered before\nentered with the support\n", s.read("data"))
}

// TestTheSupportsHotfixIsGivenWithTheCall accepts a version whose Setup is not archived. The
// file is archived by the checks of an import, and needs nothing of the server.
func TestTheSupportsHotfixIsGivenWithTheCall(t *testing.T) {
	t.Parallel()
	s := newUndecidedSite(t)
	hotfix, text := filepath.Join(s.own, "hotfix.sh"), "echo 7.12.250 > $1/version\n"
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	s.write(hotfix, text)
	s.write(filepath.Join(s.site, "version"), "7.12.250\n")
	pin := func(sum string) {
		config, err := os.ReadFile(s.config())
		require.NoError(t, err)
		kept := slices.DeleteFunc(strings.SplitAfter(string(config), "\n"), func(line string) bool { return strings.HasPrefix(line, "sha256 = ") })
		s.write(s.config(), strings.Replace(strings.Join(kept, ""), "name = 'АСП'\n", "name = 'АСП'\nsha256 = { '7.12.250' = '"+sum+"' }\n", 1))
	}
	archived := func() []string {
		files, err := filepath.Glob(filepath.Join(s.own, "archive", "АСП", "7.12.250", "*", "*.sh"))
		require.NoError(t, err)
		return files
	}
	pin(strings.Repeat("0", 64))
	code, out := s.run("recover", "--accept", "a test", "--setup", hotfix)
	require.Equal(t, exitUnvouched, code, out)
	require.Empty(t, archived())
	pin(sum)
	code, out = s.run("recover", "--accept", "a test", "--setup", hotfix, "--installed", "7.12.250@00")
	require.Equal(t, exitUnvouched, code, out)
	require.Contains(t, out, sum, "what it has")
	code, out = s.run("recover", "--accept", "a test", "--setup", filepath.Join(s.own, "no-such-file"))
	require.Equal(t, exitOther, code, out)
	require.FileExists(t, filepath.Join(s.own, "closed"), "users are out")
	require.NoError(t, os.RemoveAll(filepath.Join(s.own, "archive", "АСП", "7.12.250")))

	code, out = s.run("recover", "--accept", "a test")
	require.Equal(t, exitPrevious, code, out)
	f := &followed{
		inOrder: func() error { _, err := os.Stat(filepath.Join(s.own, "closed")); return absent(err) },
		values:  map[string]string{"FILE": hotfix},
		run: func(args ...string) (int, string) { // without the server's password
			code, out, errs := aspupdate(t, []string{"ASPUPDATE_CONFIG=" + s.config()}, args...)
			return code, out + errs
		},
	}
	f.follow(t, out)
	s.last = ""
	require.Len(t, archived(), 1)
	code, out = s.run("status", "--json")
	require.Zero(t, code, out)
	var d statusDoc
	require.NoError(t, json.Unmarshal([]byte(out), &d))
	require.Equal(t, sum, d.Committed["АСП"].SHA256)
}

// TestAReReleaseIsAcceptedByItsOwnHash installs another file of the number that
// failed. The one that a person names is committed.
func TestAReReleaseIsAcceptedByItsOwnHash(t *testing.T) {
	t.Parallel()
	s := newUndecidedSite(t)
	text := "echo 7.12.200 > $1/version # repaired\n"
	repaired := filepath.Join(s.own, "repaired.sh")
	s.write(repaired, text)
	code, out := s.run("archive", "import", "--distribution", "АСП", "--version", "7.12.200", repaired)
	require.Zero(t, code, out)
	s.write(filepath.Join(s.site, "version"), "7.12.200\n")
	code, out = s.run("recover", "--accept", "the vendor's repaired file")
	require.Equal(t, exitOperator, code, out)
	require.Contains(t, out, "next: aspupdate recover --accept REASON --installed VERSION@SHA256\n")
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	require.Contains(t, out, sum, "it names the files")

	f := s.followed(func() error { _, err := os.Stat(filepath.Join(s.own, "closed")); return absent(err) })
	f.values = map[string]string{"VERSION@SHA256": "7.12.200@" + sum[:8]}
	f.follow(t, out)
	code, out = s.run("status", "--json")
	require.Zero(t, code, out)
	var d statusDoc
	require.NoError(t, json.Unmarshal([]byte(out), &d))
	require.Equal(t, sum, d.Committed["АСП"].SHA256, "what is really installed is committed")
}

// TestDataThatCannotBeKeptHasAWayOut damages the live data after a rollback that has
// failed, so that no copy of it can be made before it is restored over. The lines
// that are printed lead out, and what was replaced is still there.
func TestDataThatCannotBeKeptHasAWayOut(t *testing.T) {
	t.Parallel()
	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
[[directory]]
path = '${SITE}/data'`, "")
	old := s.publish("7.12.100", "Setup", fmt.Sprintf("[ -e %s/broken ] || echo 7.12.100 > $1/version\n", s.own))
	code, out := s.run("archive", "import", "--distribution", "АСП", "--version", "7.12.100", old)
	require.Zero(t, code, out)
	s.write(filepath.Join(s.site, "version"), "7.12.100\n")
	data := filepath.Join(s.site, "data")
	require.NoError(t, os.Mkdir(data, 0o755))
	s.write(filepath.Join(data, "rows"), "entered before\n")
	s.write(filepath.Join(s.own, "broken"), "")
	s.publish("7.12.200", "Setup", "echo broken > $1/version\n")
	code, out = s.run("update")
	require.Equal(t, exitOperator, code, out)

	require.NoError(t, exec.Command("mkfifo", filepath.Join(data, "pipe")).Run()) // what no backup can read
	require.NoError(t, os.Remove(filepath.Join(s.own, "broken")))
	code, out = s.run("recover", "--retry", "the Setup is repaired")
	require.Equal(t, exitOperator, code, out)
	require.Contains(t, out, "neither a file, a directory nor a link")
	require.FileExists(t, filepath.Join(s.own, "closed"))
	code, out = s.run("recover", "--unkept", "folder "+data)
	require.Equal(t, exitUsage, code, out)
	_, out = s.run("status")
	require.Contains(t, out, "aspupdate recover --retry REASON --unkept 'folder "+data+"' (")
	f := s.followed(func() error { _, err := os.Stat(filepath.Join(s.own, "closed")); return absent(err) })
	f.follow(t, out)
	require.Equal(t, "7.12.100\n", s.read("version"))
	require.Equal(t, "entered before\n", s.read("data/rows"))
	replaced, err := filepath.Glob(filepath.Join(s.site, "*", "pipe"))
	require.NoError(t, err)
	require.Len(t, replaced, 1, "what was replaced is kept until the next update")
}

// absent turns the error of a file that is not there into nil.
func absent(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return fmt.Errorf("the file exists: %w", os.ErrExist)
}
