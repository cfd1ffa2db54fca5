package main

import (
	"bytes"
	"context"
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

const nobody = 65534 // an account without permissions, and its group

// another is an account that runs this program with a site of its own.
type another struct {
	t       *testing.T
	program string
	own     string // its directory, with the configuration
	env     []string
}

// newAnother gives nobody a copy of the program, and of the site's configuration
// with directories of its own.
func newAnother(t *testing.T, s *scriptSite) *another {
	t.Helper()
	if os.Geteuid() != 0 {
		realtest.Skip(t, "only root starts a program as another account")
	}
	t.Setenv("TMPDIR", "/tmp")
	dir := realtest.SharedDir(t)
	a := &another{t: t, program: filepath.Join(dir, "aspupdate"), own: filepath.Join(dir, "own"), env: []string{"PATH=" + os.Getenv("PATH"), "SITE_FTP_PASSWORD=" + s.server.Password}}
	exe, err := os.ReadFile(program)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(a.program, exe, 0o755))
	require.NoError(t, os.Chmod(a.program, 0o755))
	require.NoError(t, os.Mkdir(a.own, 0o700))
	require.NoError(t, os.Chown(a.own, nobody, nobody))
	text, err := os.ReadFile(s.config())
	require.NoError(t, err)
	config := filepath.Join(dir, "watch.toml") // root's own
	require.NoError(t, os.WriteFile(config, []byte(strings.ReplaceAll(string(text), s.own, a.own)), 0o644))
	require.NoError(t, os.Chmod(config, 0o644))
	a.env = append(a.env, "ASPUPDATE_CONFIG="+config)
	return a
}

func (a *another) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, a.program, args...)
	cmd.Env, cmd.Dir = a.env, filepath.Dir(a.program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	return cmd
}

func (a *another) run(args ...string) (code int, output string) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Minute)
	defer cancel()
	cmd := a.command(ctx, args...)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		a.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// What needs no root works without: an account without permissions watches,
// checks and fetches from a real server.
func TestWatchCheckAndFetchWithoutRoot(t *testing.T) {
	s := newScriptSite(t, "no_fence = 'a test'", "")
	s.installed("7.12.100")
	s.publish("7.12.200", "Setup", "echo 7.12.200 > $1/version\n")
	a := newAnother(t, s)

	code, out := a.run("check")
	require.Zero(t, code, out)
	require.Contains(t, out, "installed 7.12.100, newest on the server 7.12.200")
	code, out = a.run("fetch")
	require.Zero(t, code, out)
	require.Contains(t, out, "archived /АСП/7.12.200/Setup")
	code, out = a.run("archive", "verify")
	require.Zero(t, code, out)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch := a.command(ctx, "watch")
	var events bytes.Buffer
	watch.Stdout, watch.Stderr = &events, &events
	require.NoError(t, watch.Start())
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(filepath.Join(a.own, "state", "watch.json"))
		return bytes.Contains(b, []byte("7.12.200")) && !bytes.Contains(b, []byte(`"owed":`))
	}, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, watch.Process.Signal(syscall.SIGINT))
	_ = watch.Wait()
	require.Contains(t, events.String(), "АСП 7.12.200: released")

	require.NoError(t, filepath.WalkDir(a.own, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		fi, err := d.Info()
		require.NoError(t, err)
		require.Equal(t, uint32(nobody), fi.Sys().(*syscall.Stat_t).Uid, path)
		require.Zero(t, fi.Mode().Perm()&0o077, "%s: %s", path, fi.Mode())
		return nil
	}))

	// Root takes what was fetched for what it is, a stranger's file, and works in
	// no directory of the account.
	items, err := filepath.Glob(filepath.Join(a.own, "archive", "АСП", "7.12.200", "Setup-*", "Setup.sh"))
	require.NoError(t, err)
	require.Len(t, items, 1)
	code, out = s.run("archive", "import", "--distribution", "АСП", "--version", "7.12.200", items[0])
	require.Zero(t, code, out)
	text, err := os.ReadFile(s.config())
	require.NoError(t, err)
	mixed := filepath.Join(s.own, "mixed.toml")
	require.NoError(t, os.WriteFile(mixed, []byte(strings.Replace(string(text), s.own+"/archive", a.own+"/archive", 1)), 0o600))
	code, out = s.run("update", "--yes", "--config", mixed)
	require.Equal(t, 1, code, out)
	require.Contains(t, out, a.own+" belongs to nobody")
	require.Equal(t, "7.12.100\n", s.read("version"))

	// What was imported is installed without the server: nothing of FTP runs as root.
	s.server.Kill()
	code, out = s.run("update", "--yes", "--offline")
	require.Zero(t, code, out)
	require.Equal(t, "7.12.200\n", s.read("version"))
}
