//go:build unix

package site

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/install"
)

// What decides what runs is refused if others can change it, and a secret if
// others can read it.
func TestWhatOthersCanChangeIsRefused(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp")
	for name, c := range map[string]struct {
		file, table, key string
		mode             os.FileMode
		want             string
	}{
		"the configuration":       {"aspupdate.toml", "", "", 0o666, "aspupdate.toml is 0666; chmod go-w"},
		"its directory":           {".", "", "", 0o777, " is 0777; chmod go-w"},
		"a secret, writable":      {"secret", "[server]", "password_file", 0o620, "password_file: others can change"},
		"a secret, readable":      {"secret", "[server]", "password_file", 0o644, "is 0644, and others may read it; chmod 600"},
		"a file of hashes":        {"sums", "[[distribution]]", "sha256_file", 0o666, "sums is 0666"},
		"the roots of a server":   {"roots", "[server]", "tls_ca", 0o666, "roots is 0666"},
		"the roots of publishers": {"roots", "[distribution.publisher]", "roots", 0o666, "roots is 0666"},
		"decrees":                 {"decrees", "[calendar]", "decrees", 0o666, "decrees is 0666"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "aspupdate-test-")
			require.NoError(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			require.NoError(t, os.Chmod(dir, 0o755))
			file, config := filepath.Join(dir, c.file), filepath.Join(dir, "aspupdate.toml")
			text := goodConfig(dir)
			if c.key != "" {
				line := c.table + "\n" + c.key + " = '" + file + "'\n"
				if strings.Contains(text, c.table+"\n") {
					text = strings.Replace(text, c.table+"\n", line, 1)
				} else {
					text += line
				}
				require.NoError(t, os.WriteFile(file, nil, 0o600))
			}
			require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
			require.NoError(t, os.Chmod(file, c.mode))
			_, err = Load(config)
			require.ErrorIs(t, err, ErrConfig)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// Systemd's directory of a unit's credentials is named by the environment.
func TestSecretFromSystemd(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "password"), []byte("hunter2\n"), 0o440))
	_, err := readSecret("password_file", credentials+"/password")
	require.ErrorContains(t, err, "CREDENTIALS_DIRECTORY is not set")
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	got, err := readSecret("password_file", credentials+"/password")
	require.NoError(t, err)
	require.Equal(t, "hunter2", got)
}

// Doctor names the programs that others can change: what they write there runs
// with this account's rights.
func TestDoctorNamesProgramsOfOthers(t *testing.T) {
	t.Setenv("TMPDIR", "/tmp")
	dir, err := os.MkdirTemp("", "aspupdate-test-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	program, private := filepath.Join(dir, "close.sh"), filepath.Join(dir, "archive")
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o700))
	require.NoError(t, os.Chmod(program, 0o777))
	require.NoError(t, os.Mkdir(private, 0o777))
	require.NoError(t, os.Chmod(private, 0o777))
	argument := filepath.Join(dir, "open.py")
	require.NoError(t, os.WriteFile(argument, []byte("pass"), 0o600))
	require.NoError(t, os.Chmod(argument, 0o666))
	data := filepath.Join(dir, "data.txt")
	require.NoError(t, os.WriteFile(data, nil, 0o600))
	require.NoError(t, os.Chmod(data, 0o666))
	d := &doctor{Site: &Site{Config: &Config{
		Archive: private, State: dir, Backups: dir,
		Application: applicationConfig{Close: []string{program}, Open: []string{"/bin/true", argument, data, "-x"}},
	}}}
	d.programs(t.Context())
	d.directories(t.Context())
	states := map[string]string{}
	for _, f := range d.findings {
		states[f.Name] = f.State
		if f.Name == program || f.Name == private || f.Name == argument {
			require.ErrorContains(t, f.Err, "chmod go-w")
		}
		require.NotErrorIs(t, f.Err, install.ErrPermission)
	}
	require.Equal(t, map[string]string{program: "fix", private: "fix", argument: "fix", "/bin/true": "ok", "": states[""], dir: "ok"}, states)
}
