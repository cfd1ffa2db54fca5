//go:build linux

package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/internal/realtest"
)

// Notes are the third distribution of a soak: a .deb whose postinst restructures an
// SQLite database, and a user who writes to it as long as the application runs
// and its gate is open.
type notes struct {
	dir, root, file string
	acked           atomic.Int64
}

const notesName = "Записи"

// The application's commands hold this lock, and so does the user for each row: what
// was acknowledged before the application stopped was written before. They take their
// time, so that one whose updater dies acts later.
const notesCommands = `[application]
close = ['/usr/bin/flock', 'DIR/lock', '/bin/sh', '-c', 'sleep 0.1; ! [ -e "$0" ] && touch "$0"', 'DIR/closed']
open = ['/bin/sh', '-c', 'sleep 0.1; rm "$0"', 'DIR/closed']
fence_status = ['/usr/bin/test', '!', '-e', 'DIR/closed']
stop = ['/usr/bin/flock', 'DIR/lock', '/bin/sh', '-c', 'sleep 0.1; rm "$0"', 'DIR/running']
start = ['/bin/sh', '-c', 'sleep 0.1; ! [ -e "$0" ] && touch "$0"', 'DIR/running']
status = ['/usr/bin/test', '-e', 'DIR/running']

[[sqlite]]
path = 'DIR/data/notes.db'

[[distribution]]
name = 'Записи'
kind = 'deb'
arguments = ['--root=DIR/system', '--force-script-chrootless', '--log=/dev/null']
unauthenticated = 'a test on loopback'

[distribution.probe]
command = ['/bin/sh', '-c', '''
v=$(cat DIR/system/opt/notes/version)
sqlite3 -readonly -cmd '.timeout 5000' DIR/data/notes.db 'SELECT text FROM entry LIMIT 1' > /dev/null &&
[ "$(sqlite3 -readonly -cmd '.timeout 5000' DIR/data/notes.db 'SELECT version FROM meta')" = "$v" ] && echo $v
''']
interval = '200ms'
steady = '200ms'

[window]
`

func newNotes(t *testing.T, s *soak) *notes {
	t.Helper()
	for _, program := range []string{"dpkg", "dpkg-deb", "sqlite3", "flock"} {
		realtest.Program(t, program)
	}
	if os.Geteuid() != 0 {
		realtest.Skip(t, "dpkg installs for root only")
	}
	n := &notes{dir: s.dir, root: filepath.Join(s.dir, "system"), file: filepath.Join(s.dir, "data", "notes.db")}
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "tmp"} {
		require.NoError(t, os.MkdirAll(filepath.Join(n.root, dir), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(n.root, "var/lib/dpkg/status"), nil, 0o644))
	require.NoError(t, os.Mkdir(filepath.Dir(n.file), 0o755))
	n.sqlite(t, "CREATE TABLE meta (version text NOT NULL); INSERT INTO meta VALUES ('"+installed+"'); CREATE TABLE entry (id integer PRIMARY KEY, text text NOT NULL)")
	deb := n.build(t, installed, "")
	n.install(t, deb)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "running"), nil, 0o600))

	s.config = map[string]string{
		"[window]\n":   strings.ReplaceAll(notesCommands, "DIR", s.dir),
		"probe = '5s'": "probe = '10s'\ndecide = '5s'",
		"live = [":     "live = ['" + n.root + "', ",
	}
	s.writeConfig(t)
	code, text, errs := s.run(t, "archive", "import", "--distribution", notesName, "--version", installed, deb)
	require.Zero(t, code, text+errs)
	n.user(t)
	return n
}

func (n *notes) sqlite(t *testing.T, statements string) string {
	t.Helper()
	out, err := exec.Command("sqlite3", "-cmd", ".timeout 30000", n.file, statements).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

func (n *notes) install(t *testing.T, deb string) {
	t.Helper()
	out, err := exec.Command("dpkg", "--root="+n.root, "--force-script-chrootless", "--log=/dev/null", "-i", deb).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// byHand installs a version that has a column, whatever is there, and returns its package.
func (n *notes) byHand(t *testing.T, version, column string) (deb string) {
	t.Helper()
	statements := ""
	if n.sqlite(t, "SELECT count(*) FROM pragma_table_info('entry') WHERE name = '"+column+"'") == "0" {
		statements = "ALTER TABLE entry ADD COLUMN " + column + " text NOT NULL DEFAULT 'Tula';"
	}
	deb = n.build(t, version, statements)
	n.install(t, deb)
	return deb
}

// build makes a package.
func (n *notes) build(t *testing.T, version, statements string) string {
	t.Helper()
	tree := t.TempDir()
	for name, text := range map[string]string{
		"DEBIAN/control": "Package: notes\nVersion: " + version + "\nArchitecture: all\nMaintainer: tests <tests@example.com>\nDescription: tests\n",
		"DEBIAN/postinst": fmt.Sprintf(`#!/bin/sh
set -e
have=$(sqlite3 '%[1]s' 'SELECT version FROM meta')
[ "$have" = %[2]s ] && exit 0
sqlite3 -bail -cmd '.timeout 30000' '%[1]s' <<'SQL'
%[3]s
UPDATE meta SET version = '%[2]s';
SQL
`, n.file, version, statements),
		"opt/notes/version": version + "\n",
	} {
		path := filepath.Join(tree, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	require.NoError(t, os.Chmod(tree, 0o755))
	require.NoError(t, os.Chmod(filepath.Join(tree, "DEBIAN/postinst"), 0o755))
	deb := filepath.Join(t.TempDir(), "Setup.deb")
	out, err := exec.Command("dpkg-deb", "--build", "--root-owner-group", tree, deb).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return deb
}

// publish puts the package of a release on the server.
func (n *notes) publish(t *testing.T, ftp, version, column string, good bool) {
	t.Helper()
	statements := "ALTER TABLE entry ADD COLUMN " + column + " text NOT NULL DEFAULT 'Tula';\n.system sleep 0.2"
	if !good {
		statements = "DELETE FROM entry WHERE id % 2 = 0;\n.system sleep 0.2\nALTER TABLE entry DROP COLUMN text;"
	}
	text, err := os.ReadFile(n.build(t, version, statements))
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(ftp, notesName)))
	dir := filepath.Join(ftp, notesName, version)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	file := filepath.Join(dir, "Setup.deb")
	require.NoError(t, os.WriteFile(file, text, 0o644))
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(file, old, old))
}

// user is a person who enters a row whenever the application runs and lets people in.
func (n *notes) user(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if n.enter(n.acked.Load()+1) == nil {
				n.acked.Add(1)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
}

func (n *notes) enter(id int64) error {
	gate, err := os.OpenFile(filepath.Join(n.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = gate.Close() }() // which unlocks
	if err := syscall.Flock(int(gate.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(n.dir, "running")); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(n.dir, "closed")); err == nil {
		return os.ErrExist
	}
	db, err := sql.Open("sqlite", n.file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	_, err = db.Exec("INSERT INTO entry (id, text) VALUES (?, 'entry ' || ?) ON CONFLICT DO NOTHING", id, id)
	return err
}

// inOrder fails unless program and database are at the version, with the columns
// that it has, the user works again, and no acknowledged row is lost.
func (n *notes) inOrder(t *testing.T, version, columns string) {
	t.Helper()
	software, err := os.ReadFile(filepath.Join(n.root, "opt/notes/version"))
	require.NoError(t, err)
	require.Equal(t, version, strings.TrimSpace(string(software)))
	require.NoFileExists(t, filepath.Join(n.dir, "closed"))
	require.FileExists(t, filepath.Join(n.dir, "running"))
	before := n.acked.Load()
	require.Eventually(t, func() bool { return n.acked.Load() > before }, time.Minute, 10*time.Millisecond, "the user works again")
	acked := n.acked.Load()
	require.Equal(t, version, n.sqlite(t, "SELECT version FROM meta"))
	require.Equal(t, fmt.Sprint(acked), n.sqlite(t, fmt.Sprintf("SELECT count(*) FROM entry WHERE id BETWEEN 1 AND %d AND text = 'entry ' || id", acked)), "no acknowledged row is lost")
	require.Equal(t, columns, n.sqlite(t, "SELECT group_concat(name) FROM pragma_table_info('entry')"), "the structure is that of the version")
	require.Equal(t, "ok", n.sqlite(t, "PRAGMA integrity_check"))
}
