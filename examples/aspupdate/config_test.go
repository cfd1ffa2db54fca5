package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goodConfig is the smallest configuration that is accepted, and where the
// bad ones below start from.
func goodConfig(dir string) string {
	return strings.ReplaceAll(`state = 'DIR/state'
archive = 'DIR/archive'
backups = 'DIR/backups'
no_data = 'a test'
[server]
address = '127.0.0.1:1'

[window]
any_time = 'a test'

[application]
no_fence = 'a test'

[[distribution]]
name = 'АСП'
unauthenticated = 'a test'

[distribution.probe]
http = 'http://127.0.0.1:1/'
`, "DIR", filepath.ToSlash(dir))
}

// TestBadConfigSaysWhereAndWhatIsAllowed breaks the good configuration in
// one place each.
func TestBadConfigSaysWhereAndWhatIsAllowed(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		want     []string
	}{
		"unknown key at the top":   {"state =", "stat =", []string{":1:1:", `unknown key "stat"`, "allowed at the top", "state"}},
		"unknown key in a table":   {"address =", "addr =", []string{":6:1:", `unknown key "server.addr"`, "address", "password_env"}},
		"unknown key in a list":    {"name = 'АСП'", "nam = 'АСП'", []string{":15:1:", "distribution.nam", "unauthenticated"}},
		"unknown key inside probe": {"http =", "htp =", []string{":19:1:", "distribution.probe.htp", "command", "every"}},
		"wrong type":               {"any_time = 'a test'", "any_time = 5", []string{":9:", "window.any_time wants a text in quotes"}},
		"not a duration":           {"any_time = 'a test'", "backup = 'an hour'", []string{":9:", `a duration such as "90s"`}},
		"no TOML at all":           {"[server]", "[server", []string{":5:"}},
		"password given in it":     {"address =", "password = 'x'\naddress =", []string{"unknown key", "password_env"}},
		"missing":                  {"archive = 'DIR/archive'\n", "", []string{"archive is missing"}},
		"relative":                 {"'DIR/backups'", "'backups'", []string{"absolute"}},
		"no fence":                 {"no_fence = 'a test'", "", []string{"nothing keeps users out", "no_fence"}},
		"R9 no data":               {"no_data = 'a test'", "", []string{"nothing is backed up (R9)", "no_data"}},
		"R9 data and no data":      {"[[distribution]]", "[[folder]]\npath = 'DIR/app'\n[[distribution]]", []string{"no_data says"}},
		"half a fence":             {"no_fence = 'a test'", "close = ['x']", []string{"come together"}},
		"R13 without times":        {"any_time = 'a test'", "", []string{"backup, checks and rollback"}},
		"no zone":                  {"any_time = 'a test'", "any_time = 'a test'\nlocal = 'Europe/Samara'", []string{"MSK-1 to MSK+9"}},
		"bad TLS":                  {"address =", "tls = 'yes'\naddress =", []string{"none, explicit, implicit"}},
		"no variable":              {"address =", "password_env = 'ASPUPDATE_NOT_SET'\naddress =", []string{"ASPUPDATE_NOT_SET"}},
		"bad kind":                 {"name = 'АСП'", "name = 'АСП'\nkind = 'wise'", []string{`kind = "wise"`, "auto, burn, deb"}},
		"two probes":               {"http =", "command = ['x']\nhttp =", []string{"either http or command"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "aspupdate.toml")
			good := strings.ReplaceAll(goodConfig(dir), filepath.ToSlash(dir), "DIR")
			bad := strings.Replace(good, c.old, c.new, 1)
			require.NotEqual(t, good, bad)
			require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(bad, "DIR", filepath.ToSlash(dir))), 0o600))
			code, out, errs := aspupdate(t, nil, "update", "--config", path)
			require.Equal(t, exitUsage, code, errs)
			require.Empty(t, out)
			for _, want := range c.want {
				require.Contains(t, errs, want)
			}
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, left, 1, "nothing was changed")
		})
	}
	code, _, errs := aspupdate(t, nil, "update", "--config", "no-such-file.toml")
	require.Equal(t, exitUsage, code)
	require.Contains(t, errs, "there is no file no-such-file.toml")
}

func TestGoodConfigIsRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	require.NoError(t, os.WriteFile(path, []byte(goodConfig(dir)), 0o600))
	c, err := loadConfig(path)
	require.NoError(t, err)
	require.Equal(t, "АСП", c.Distributions[0].Name)
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Setenv("ASPUPDATE_TEST_PASSWORD", "correct horse")
	dir := t.TempDir()
	path := filepath.Join(dir, "aspupdate.toml")
	text := strings.Replace(goodConfig(dir), "address =", "password_env = 'ASPUPDATE_TEST_PASSWORD'\naddress =", 1)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	c, err := loadConfig(path)
	require.NoError(t, err)
	require.Equal(t, "correct horse", c.Server.value)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		require.NotContains(t, fmt.Sprintf(format, c), "correct horse", format)
		require.NotContains(t, fmt.Sprintf(format, *c), "correct horse", format)
	}
}
