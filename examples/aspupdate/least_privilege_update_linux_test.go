package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// TestUpdateWithTheLeastPrivileges is an update from end to end: an account without permissions watches and
// fetches, with the server's password from systemd's credentials; the update runs without the server, by a
// maintenance role that is no superuser, with secrets from files of mode 0600; and no secret gets anywhere else.
func TestUpdateWithTheLeastPrivileges(t *testing.T) {
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root starts a program as another account")
	}
	t.Setenv("TMPDIR", "/tmp")
	s := newLimitedSite(t, both("ALTER TABLE entry ADD COLUMN district text NOT NULL DEFAULT 'Tula';\n\\! env\n"))
	s.sql(t, "postgres", "DO $$ BEGIN ASSERT current_setting('server_version_num')::int >= 150000; END $$")

	// The account has its own configuration, which root made, without a word about the database.
	dir := realtest.SharedDir(t)
	a := &another{t: t, program: filepath.Join(dir, "aspupdate"), own: filepath.Join(dir, "own")}
	exe, err := os.ReadFile(program)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(a.program, exe, 0o755))
	require.NoError(t, os.Chmod(a.program, 0o755))
	credentials := filepath.Join(dir, "credentials") // as LoadCredential= makes it
	for path, mode := range map[string]os.FileMode{a.own: 0o700, credentials: 0o700} {
		require.NoError(t, os.Mkdir(path, mode))
		require.NoError(t, os.Chown(path, nobody, nobody))
	}
	require.NoError(t, os.WriteFile(filepath.Join(credentials, "ftp"), []byte(s.server.Password), 0o400))
	require.NoError(t, os.Chown(filepath.Join(credentials, "ftp"), nobody, nobody))
	require.NoError(t, os.Chmod(credentials, 0o500))
	config := filepath.Join(dir, "watch.toml")
	text := fmt.Sprintf(`state = '%[1]s/state'
archive = '%[1]s/archive'
backups = '%[1]s/backups'
live = ['%[2]s']
no_data = 'this account only fetches'
[server]
address = '%[3]s'
settle = '1ms'
user = '%[4]s'
password_file = '${CREDENTIALS_DIRECTORY}/ftp'
[window]
any_time = 'this account only fetches'
[application]
no_fence = 'this account only fetches'
`, a.own, s.site, s.server.Addr, s.server.User)
	for _, b := range bundle {
		text += fmt.Sprintf(`[[distribution]]
name = '%s'
launcher = ['/bin/sh']
unauthenticated = 'a test on loopback'
probe = { command = ['/bin/false'] }
`, b.distribution)
	}
	require.NoError(t, os.WriteFile(config, []byte(text), 0o644))
	require.NoError(t, os.Chmod(config, 0o644))
	a.env = []string{"PATH=" + os.Getenv("PATH"), "ASPUPDATE_CONFIG=" + config, "CREDENTIALS_DIRECTORY=" + credentials}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch := a.command(ctx, "watch")
	var events bytes.Buffer
	watch.Stdout, watch.Stderr = &events, &events
	require.NoError(t, watch.Start())
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(filepath.Join(a.own, "state", "watch.json"))
		return strings.Count(string(b), "7.13.100") >= len(bundle) && !bytes.Contains(b, []byte(`"owed":`))
	}, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, watch.Process.Signal(syscall.SIGINT))
	_ = watch.Wait()
	code, out := a.run("fetch")
	require.Zero(t, code, out)
	s.server.Kill() // nothing of FTP runs as root

	// What root has: files of mode 0600, and no secret in its environment.
	config = s.configFile()
	all, err := os.ReadFile(config)
	require.NoError(t, err)
	ftp, pass := filepath.Join(s.dir, "ftp-password"), filepath.Join(s.dir, "pgpass")
	require.NoError(t, os.WriteFile(ftp, []byte(s.server.Password+"\n"), 0o600))
	require.NoError(t, os.WriteFile(pass, []byte("127.0.0.1:*:*:warden:warden\n"), 0o600))
	require.NoError(t, os.WriteFile(config, []byte(strings.NewReplacer(
		"password_env = 'SITE_FTP_PASSWORD'", "password_file = '"+ftp+"'", "'PGPASSWORD'", "'PGPASSFILE'",
	).Replace(string(all))), 0o600))
	var said strings.Builder
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=/", "ASPUPDATE_CONFIG=" + config,
			"PGHOST=127.0.0.1", fmt.Sprint("PGPORT=", s.cluster.Port), "PGUSER=warden", "PGPASSFILE=" + pass,
		}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		said.Write(out)
	}
	for _, b := range bundle {
		fetched, err := filepath.Glob(filepath.Join(a.own, "archive", b.distribution, "7.13.100", "Setup-*", "Setup.sh"))
		require.NoError(t, err)
		require.Len(t, fetched, 1)
		run("archive", "import", "--distribution", b.distribution, "--version", "7.13.100", fetched[0])
	}
	run("update", "--yes", "--offline")
	s.inOrder(t, "7.13.100")
	s.sql(t, "postgres", "DO $$ BEGIN ASSERT NOT (SELECT rolsuper FROM pg_roles WHERE rolname = 'warden'); END $$")
	require.Equal(t, []string{"asp", "opeka", "postgres"}, s.databases(t))

	kept := map[string]string{"the output": said.String() + events.String() + out}
	for _, dir := range []string{a.own, filepath.Join(s.dir, "state"), filepath.Join(s.dir, "archive"), filepath.Join(s.dir, "backups")} {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				var b []byte
				b, err = os.ReadFile(path)
				kept[path] = string(b)
			}
			return err
		}))
	}
	children := 0
	for where, text := range kept {
		children += strings.Count(text, "PGPASSFILE="+pass+"\n") // the environment of each installer is in its log
		for _, secret := range []string{s.server.Password, s.cluster.Password, ":warden@", "PGPASSWORD"} {
			require.NotContains(t, text, secret, where)
		}
	}
	require.Equal(t, len(bundle), children)
}
