package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// The disk fills up while the copy is made or while it is loaded; once there is
// room the same call goes well.
func TestFaultDiskOfTheServerIsFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	space := "full " + w.name
	dir := w.tablespace(t, space, "40m")
	w.admin(t, "postgres", "ALTER DATABASE "+ident(w.name)+" SET TABLESPACE "+ident(space))
	w.admin(t, w.name, "CREATE TABLE filler AS SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 6000) g")
	before := w.state(t)
	w.db.URI = strings.Replace(w.db.URI, "127.0.0.1", "0.0.0.0", 1) // so that the room cannot be seen beforehand
	snap := w.take(t)
	w.update(t)
	changed := w.state(t)
	fill := func(leave int64) (clear func()) {
		var st syscall.Statfs_t
		require.NoError(t, syscall.Statfs(dir, &st))
		f, err := os.Create(filepath.Join(dir, "ballast"))
		require.NoError(t, err)
		_, err = io.CopyN(f, zeros{}, int64(st.Bavail)*st.Bsize-leave)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		return func() { require.NoError(t, os.Remove(f.Name())) }
	}
	failed := map[string]int{}
	for _, by := range []string{"clone", "dump"} {
		if by == "dump" {
			require.NoError(t, w.db.Tidy(t.Context()))
		}
		for _, leave := range []int64{1 << 20, 8 << 20, 9 << 20, 10 << 20} {
			clear := fill(leave)
			r, err := w.store.Restore(t.Context(), snap.ID, w.db)
			if err != nil {
				failed[by]++
				w.failed(t, err, changed)
				if leave == 1<<20 {
					require.ErrorIs(t, err, ErrMissing)
				}
			} else {
				require.Equal(t, before, w.state(t))
				require.NoError(t, r.Undo(t.Context()))
			}
			clear()
		}
		require.GreaterOrEqual(t, failed[by], 2, by)
		r := w.restore(t, snap)
		require.Equal(t, before, w.state(t))
		require.NoError(t, r.Undo(t.Context()))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Where the store has no room, there is no snapshot and no clone.
func TestFaultDiskOfTheStoreIsFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, "CREATE TABLE photos AS SELECT decode(md5(g::text) || md5(g::text || 'x'), 'hex') FROM generate_series(1, 40000) g")
	before := w.state(t)
	w.store.Dir = filepath.Join(smallDisk(t, "1m"), "store")
	_, err := w.store.Take(t.Context(), "x", w.db)
	w.failed(t, err, before)
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Empty(t, w.kinds(t))
	list, err := w.store.List()
	require.NoError(t, err)
	require.Empty(t, list)
}

// killChild kills the program as soon as it is found at work for the database, and
// then wait has passed. It reports whether it did before ctx was over.
func (w *world) killChild(ctx context.Context, program string, wait time.Duration) bool {
	mark := strings.TrimPrefix(w.role, `app '"`)
	for ctx.Err() == nil {
		lines, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is good
		for _, file := range lines {
			line, err := os.ReadFile(file)
			words := strings.Split(string(line), "\x00")
			if err != nil || filepath.Base(words[0]) != program || !strings.Contains(string(line), mark) {
				continue
			}
			if pause(ctx, wait) != nil {
				return false
			}
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			return syscall.Kill(pid, syscall.SIGKILL) == nil
		}
	}
	return false
}

// pg_dump and pg_restore are killed at any point of their work.
func TestFaultProgramsAreKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.state(t)
	killed := map[string]int{}
	hunt := func(program string, wait time.Duration, do func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() { done <- w.killChild(ctx, program, wait) }()
		do()
		cancel()
		if <-done {
			killed[program]++
		}
	}
	wait := func(i int) time.Duration { return time.Duration(i) * time.Duration(rand.Int64N(int64(15*time.Millisecond))) }
	for i := range 6 {
		hunt("pg_dump", wait(i), func() {
			_, err := w.store.Take(t.Context(), "x", w.db)
			if err == nil {
				require.NoError(t, w.db.Tidy(t.Context()))
			}
			require.Empty(t, w.kinds(t), "%v", err)
		})
		require.Equal(t, before, w.state(t))
	}
	w.db.InPlace = true // no clone: the way back is pg_restore's
	snap := w.take(t)
	list, err := w.store.List()
	require.NoError(t, err)
	for _, s := range list {
		require.NoError(t, w.store.Verify(t.Context(), s.ID), "what is there is whole")
	}
	w.update(t)
	changed := w.state(t)
	for i := range 6 {
		var r backup.Restored
		var err error
		hunt("pg_restore", wait(i), func() { r, err = w.store.Restore(t.Context(), snap.ID, w.db) })
		if err != nil {
			w.failed(t, err, changed)
			continue
		}
		require.Equal(t, before, w.state(t))
		require.NoError(t, r.Undo(t.Context()))
	}
	t.Logf("killed: %v", killed)
	require.Positive(t, killed["pg_dump"])
	require.Positive(t, killed["pg_restore"])
}

// mirror is an installation of the server's programs of its own, with links to
// the files of the real one but for those of an extension, which add brings.
func mirror(t *testing.T, bin, extension string) (own string, add func()) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	ask := func(what string) string {
		out, err := exec.Command(filepath.Join(bin, "pg_config"), what).Output()
		if err != nil {
			realtest.Skip(t, "pg_config: %v", err)
		}
		return strings.TrimSpace(string(out))
	}
	// The programs look for their files relative to where they are themselves.
	binDir, share := ask("--bindir"), ask("--sharedir")
	own = filepath.Join(root, binDir)
	extensions := filepath.Join(root, share, "extension")
	for _, dir := range []string{own, extensions, filepath.Dir(filepath.Join(root, ask("--pkglibdir")))} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	openTo(t, root)
	for _, name := range []string{"postgres", "initdb"} {
		program, err := os.ReadFile(filepath.Join(binDir, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(own, name), program, 0o755))
	}
	require.NoError(t, os.Symlink(ask("--pkglibdir"), filepath.Join(root, ask("--pkglibdir"))))
	link := func(from, to string, want func(name string) bool) {
		entries, err := os.ReadDir(from)
		require.NoError(t, err)
		for _, e := range entries {
			if want(e.Name()) {
				require.NoError(t, os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())))
			}
		}
	}
	its := func(name string) bool {
		return strings.HasPrefix(name, extension+".") || strings.HasPrefix(name, extension+"--")
	}
	link(share, filepath.Join(root, share), func(name string) bool { return name != "extension" })
	link(filepath.Join(share, "extension"), extensions, func(name string) bool { return !its(name) })
	return own, func() { link(filepath.Join(share, "extension"), extensions, its) }
}

// Another server lacks the roles, then the extension, and gets the database whole
// once it has both. There the server is killed at any point of a run.
func TestFaultAnotherServerAndItsCrashes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.admin(t, w.name, `CREATE SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE TABLE h (h ext.hstore); INSERT INTO h VALUES ('a=>1')`)
	before := w.state(t)
	snap := w.take(t)

	own, addExtension := mirror(t, w.c.Bin, "hstore")
	c, err := realtest.StartPostgresOf(own)
	if err != nil {
		realtest.Skip(t, "no second PostgreSQL server: %v", err)
	}
	defer c.Stop()
	there := *w
	c.Bin = w.c.Bin // pg_dump and pg_restore
	there.c, there.db = c, &Database{URI: c.Admin(w.name), Bin: w.c.Bin, Checksums: true}
	missing := func(what string) {
		t.Helper()
		for _, do := range []func() error{
			func() error { _, err := there.store.Restore(t.Context(), snap.ID, there.db); return err },
			func() error { _, err := there.store.Prove(t.Context(), snap.ID, there.db); return err },
		} {
			err := do()
			require.ErrorIs(t, err, ErrMissing)
			require.ErrorContains(t, err, what)
			require.Empty(t, there.databases(t))
		}
	}
	missing("reader")
	for _, role := range []string{w.role, "reader " + strings.TrimPrefix(w.role, `app '"`)} {
		there.admin(t, "postgres", "CREATE ROLE "+ident(role))
	}
	missing("hstore")
	addExtension()
	there.restore(t, snap)
	require.Equal(t, before, there.state(t))

	there.serverKilled(t)
}

// crash kills the session of this package that works on the database, upon
// which the server ends all others and recovers. It reports whether there was one.
func (w *world) crash(ctx context.Context) bool {
	conn, err := w.begone(ctx)
	if err != nil {
		return false
	}
	defer closeConn(conn.Conn)
	for ctx.Err() == nil {
		pids, err := collect[struct{ PID int }](ctx, conn, `SELECT pid FROM pg_locks
			WHERE locktype = 'advisory' AND granted AND (classid::bigint << 32) | objid::bigint = $1`, lockKey(w.name))
		if err != nil {
			return false
		}
		if len(pids) > 0 {
			return syscall.Kill(pids[0].PID, syscall.SIGKILL) == nil
		}
	}
	return false
}
