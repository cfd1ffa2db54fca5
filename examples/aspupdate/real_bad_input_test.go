package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
	"github.com/aspupdate/aspupdate/rollback"
)

// TestBadInputOnRealServers breaks one thing each. update prints one sentence,
// exits with its own code and changes nothing.
func TestBadInputOnRealServers(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	s.publish(t, "7.13.100", both(migrationDone))
	onServer := filepath.Join(s.ftp, "Опека")
	for _, c := range []struct {
		name   string
		config map[string]string
		damage func(t *testing.T) (repair func())
		code   int
		want   string
	}{
		{
			name: "server down", code: exitServer, want: "unreachable",
			config: map[string]string{s.server.Addr: fmt.Sprintf("127.0.0.1:%d", realtest.FreePort(t))},
		},
		{
			name: "wrong credentials", code: exitCredentials, want: "login refused",
			config: map[string]string{"password_env = 'SITE_FTP_PASSWORD'": "password_env = 'PGUSER'"},
		},
		{
			name: "unknown distribution", code: exitUnknown, want: "unknown distribution",
			damage: func(t *testing.T) func() {
				require.NoError(t, os.Rename(onServer, onServer+".away"))
				return func() { require.NoError(t, os.Rename(onServer+".away", onServer)) }
			},
		},
		{
			name: "R4 bundle not complete", code: exitIncomplete, want: "joint release incomplete",
			damage: func(t *testing.T) func() {
				file := filepath.Join(onServer, "7.13.100", "Setup.sh")
				require.NoError(t, os.Rename(file, s.ftp+"/Setup.sh"))
				return func() { require.NoError(t, os.Rename(s.ftp+"/Setup.sh", file)) }
			},
		},
		{
			name: "still being uploaded", code: exitUnknown, want: "still settling",
			config: map[string]string{"settle = '1ms'": "settle = '1h'"}, // it has not been seen unchanged for so long
		},
		{
			name: "disk full", code: exitSpace, want: "space",
			damage: func(t *testing.T) func() { return s.fullArchive(t) },
		},
		{
			name: "R10 previous Setup gone", code: exitPrevious, want: "aspupdate archive import",
			damage: func(t *testing.T) func() {
				dir := filepath.Join(s.dir, "archive", "Опека")
				require.NoError(t, os.Rename(dir, s.dir+"/away"))
				return func() { require.NoError(t, os.Rename(s.dir+"/away", dir)) }
			},
		},
		{
			name: "archive inside the application", code: exitDirectories, want: "is inside",
			config: map[string]string{"live = ['" + s.site + "']": "live = ['" + s.dir + "/archive']"},
		},
		{
			name: "backups inside the application", code: exitDirectories, want: "is inside",
			config: map[string]string{"backups = '" + s.dir + "/backups'": "backups = '" + s.site + "/backups'"},
		},
		{
			name: "state inside the application", code: exitDirectories, want: "is inside",
			config: map[string]string{"state = '" + s.dir + "/state'": "state = '" + s.site + "/state'"},
		},
		{
			name: "R13 can never fit", code: exitRefused, want: "R13",
			config: map[string]string{"any_time = 'a test has no support hours'": "backup = '5h'\nrollback = '5h'\nchecks = '5m'"},
		},
		{
			name: "a hash that is not the pinned one", code: exitUnvouched, want: "not the one that was vouched for",
			config: map[string]string{"unauthenticated = 'a test on loopback'": "sha256 = { '7.13.100' = '" + strings.Repeat("0", 64) + "' }"},
		},
		{
			name: "an installer that is not of the kind that is stated", code: exitPrevious, want: "fix what the message names, then aspupdate doctor",
			config: map[string]string{"launcher = ['/bin/sh']": "kind = 'deb'"},
		},
		{
			name: "a second copy is running", code: exitBusy, want: "another update is running",
			damage: func(t *testing.T) func() {
				dir := filepath.Join(s.dir, "state")
				require.NoError(t, os.MkdirAll(dir, 0o700))
				l, err := rollback.Acquire(dir, "updating", time.Now())
				require.NoError(t, err)
				return func() { require.NoError(t, l.Release()) }
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.config = c.config
			s.writeConfig(t)
			repair := func() {}
			if c.damage != nil {
				repair = c.damage(t)
			}
			code, _, errs := s.run(t, "update")
			repair()
			require.Equal(t, c.code, code, errs)
			require.Contains(t, errs, c.want)
			message, _, _ := strings.Cut(errs, "state: ")
			require.Equal(t, 1, strings.Count(message, "\n"), "one sentence: %s", errs)
			require.NoFileExists(t, filepath.Join(s.dir, "state", "journal.log"), "no update was started")
			s.inOrder(t, installed)
		})
	}
	// With everything repaired the same update succeeds.
	s.config = nil
	s.writeConfig(t)
	code, out, errs := s.run(t, "update")
	require.Zero(t, code, out+errs)
	s.inOrder(t, "7.13.100")
}

// fullArchive puts the archive on a small volume without free space.
func (s *realSite) fullArchive(t *testing.T) (repair func()) {
	t.Helper()
	archive, kept := filepath.Join(s.dir, "archive"), filepath.Join(s.dir, "archive.kept")
	require.NoError(t, os.Rename(archive, kept))
	require.NoError(t, os.Mkdir(archive, 0o700))
	back := func() {
		require.NoError(t, os.Remove(archive))
		require.NoError(t, os.Rename(kept, archive))
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0700,size=256k", "tmpfs", archive).CombinedOutput(); err != nil {
		back()
		realtest.Skip(t, "cannot mount a small volume: %v: %s", err, out)
	}
	repair = func() {
		require.NoError(t, exec.Command("umount", archive).Run())
		back()
	}
	require.NoError(t, os.CopyFS(archive, os.DirFS(kept)))
	f, err := os.Create(filepath.Join(archive, "filler"))
	require.NoError(t, err)
	for err == nil {
		_, err = f.Write(make([]byte, 1024))
	}
	require.NoError(t, f.Close())
	return repair
}
