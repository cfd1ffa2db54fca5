package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestManualWalk runs the commands of the manual's first use, on a vsftpd with
// installers that are shell scripts, and compares their output. In the manual
// "…" stands for any text within a line, or for any lines if it is alone, and
// HASH for the hash of the last plan shown.
func TestManualWalk(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(manual)
	require.NoError(t, err)
	_, walk, ok := strings.Cut(strings.ReplaceAll(string(b), "\r\n", "\n"), "```console\n")
	require.True(t, ok)
	walk, _, _ = strings.Cut(walk, "```")

	s := newScriptSite(t, `
close = ['/bin/touch', '${OWN}/closed']
open = ['/bin/rm', '-f', '${OWN}/closed']
fence_status = ['/usr/bin/test', '!', '-e', '${OWN}/closed']
[[directory]]
path = '${SITE}'`, "")
	good := func(version string) string { return "echo " + version + " > $1/version\n" }
	var sums strings.Builder
	for _, v := range []string{"9.22.200", "9.23.100"} {
		fmt.Fprintf(&sums, "%x  АСП/%s/Setup.sh\n", sha256.Sum256([]byte(good(v))), v)
	}
	s.write(filepath.Join(s.own, "sums"), sums.String())
	config, err := os.ReadFile(s.config())
	require.NoError(t, err)
	s.write(s.config(), strings.NewReplacer("unauthenticated = 'a test on loopback'", "sha256_file = '"+s.own+"/sums'",
		"'a test'", "'the support is on the phone'").Replace(string(config)))
	s.write(filepath.Join(s.own, "Setup.sh"), good("9.22.200"))
	s.publish("9.23.100", "Setup", good("9.23.100"))
	s.write(filepath.Join(s.site, "version"), "9.22.200\n")
	s.write(filepath.Join(s.site, "config"), "the site's own")

	fresh, hash := t.TempDir(), ""
	for _, step := range strings.Split(walk, "$ aspupdate ")[1:] {
		typed, want, _ := strings.Cut(step, "\n")
		args := words(strings.NewReplacer("HASH", hash, "from-support", s.own).Replace(typed))
		if args[len(args)-1] == "--init" {
			args = append(args, "--config", filepath.Join(fresh, "aspupdate.toml"))
		}
		_, output := s.run(args[0], args[1:]...)
		output = strings.NewReplacer(fresh+"/", "", s.own, "/var/lib/aspupdate", s.site, "/opt/asp", s.server.Addr, "ftp.example.org").Replace(output)
		if m := regexp.MustCompile(`(?m)^plan ([0-9a-f]{32})$`).FindStringSubmatch(output); m != nil {
			hash = m[1]
		}
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", ".*")
		pattern = regexp.MustCompile(`(?m)^\.\*$`).ReplaceAllString(pattern, `(?s:.*)`)
		require.Regexp(t, "^"+pattern+"$", strings.TrimSpace(output), "$ aspupdate %s\n%s", typed, output)
	}
	require.NotEmpty(t, hash)
	require.Equal(t, "9.22.200\n", s.read("version"), "and back again")
	require.NoFileExists(t, filepath.Join(s.own, "closed"))
}

// words splits a command line at spaces outside quotes.
func words(line string) (list []string) {
	for _, m := range regexp.MustCompile(`"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		list = append(list, m[1]+m[2])
	}
	return list
}
