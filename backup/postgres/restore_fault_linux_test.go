package postgres

import (
	"context"
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

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// diskFull fills the server's disk while a copy is made or loaded. What could not be
// removed then is removed by the next call, and once there is space the same call
// succeeds. It needs a server of its own: a failed checkpoint fails all tests.
func (w *world) diskFull(t *testing.T) {
	t.Helper()
	space := "full " + w.name
	dir := w.tablespace(t, space, "40m")
	w.admin(t, "postgres", "ALTER DATABASE "+ident(w.name)+" SET TABLESPACE "+ident(space))
	w.admin(t, w.name, "CREATE TABLE filler AS SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 6000) g")
	w.db.URI = strings.Replace(w.db.URI, "127.0.0.1", "0.0.0.0", 1) // so that the space is not checked beforehand
	before := w.state(t)
	snap := w.take(t)
	w.update(t)
	changed := w.state(t)
	w.admin(t, "postgres", "CHECKPOINT")
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
	for _, by := range []string{"clone", "dump"} {
		if by == "dump" {
			require.NoError(t, w.db.Tidy(t.Context()))
		}
		failed := 0
		for _, leave := range []int64{1 << 20, 4 << 20, 9 << 20, 10 << 20} {
			clear := fill(leave)
			r, err := w.store.Restore(t.Context(), snap.ID, w.db)
			if err == nil {
				require.Equal(t, before, w.state(t))
				clear()
				require.NoError(t, r.Undo(t.Context()))
				continue
			}
			failed++
			require.Equal(t, changed, w.state(t), "%v", err)
			clear()
			require.NoError(t, w.db.Open(t.Context()), "any call recovers")
			w.failed(t, err, changed)
		}
		require.GreaterOrEqual(t, failed, 2, by)
		r := w.restore(t, snap)
		require.Equal(t, before, w.state(t))
		require.NoError(t, r.Undo(t.Context()))
		require.Equal(t, changed, w.state(t))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// If the store has no space, there is no snapshot and no clone.
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

// killChild finds the program that works on the database, waits, and kills it. It
// reports whether it did so before ctx ended.
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

// pg_dump and pg_restore are killed at any time.
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
	wait := func(i int) time.Duration {
		return time.Duration(i) * time.Duration(rand.Int64N(int64(15*time.Millisecond)))
	}
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
	require.NoError(t, w.db.Close(t.Context()))
	w.db.NoClone = true // no clone: pg_restore restores
	snap := w.take(t)
	list, err := w.store.List()
	require.NoError(t, err)
	for _, s := range list {
		require.NoError(t, w.store.Verify(t.Context(), s.ID), "every snapshot is whole")
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

// mirror makes another installation of the server's programs, with links to the
// files of the real one but those of an extension, which add links.
func mirror(t *testing.T, bin, extension string) (own string, add func()) {
	t.Helper()
	root := realtest.SharedDir(t)
	ask := func(what string) string {
		out, err := exec.Command(filepath.Join(bin, "pg_config"), what).Output()
		if err != nil {
			realtest.Skip(t, "pg_config: %v", err)
		}
		return strings.TrimSpace(string(out))
	}
	// The programs find their files relative to their own directory.
	binDir, share := ask("--bindir"), ask("--sharedir")
	own = filepath.Join(root, binDir)
	extensions := filepath.Join(root, share, "extension")
	for _, dir := range []string{own, extensions, filepath.Dir(filepath.Join(root, ask("--pkglibdir")))} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
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

// Another server lacks the roles, then the extension, and restores the database once it
// has both. Then it is killed at any time of a run, and then its disk is full.
func TestFaultAnotherServer(t *testing.T) {
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
	t.Cleanup(c.Stop)
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
			require.ErrorIs(t, err, backup.ErrIncompatible)
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
	there.diskFull(t)
}

// crash kills the session of this package on the database, after which the server
// terminates all others and recovers. It reports whether there was one.
func (w *world) crash(ctx context.Context) bool {
	conn, err := pgx.Connect(ctx, w.c.Admin("postgres"))
	if err != nil {
		return false
	}
	defer closeConn(conn)
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

// serverKilled crashes the server at times spread over each kind of run.
func (w *world) serverKilled(t *testing.T) {
	t.Helper()
	before := w.state(t)
	snap := w.take(t)
	w.update(t)
	changed := w.state(t)
	// hit crashes the server in the i-th quarter of do, and waits until a call has
	// recovered.
	hit := func(i int, took time.Duration, do func() error) (crashed bool, err error) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan bool)
		go func() {
			_ = pause(ctx, (took*time.Duration(i)+time.Duration(rand.Int64N(int64(took))))/4)
			done <- w.crash(ctx)
		}()
		err = do()
		cancel()
		crashed = <-done
		require.Eventually(t, func() bool { return w.db.Open(t.Context()) == nil }, time.Minute, 50*time.Millisecond)
		return crashed, err
	}
	crashes := 0
	for _, by := range []string{"clone", "dump"} {
		if by == "dump" {
			require.NoError(t, w.db.Tidy(t.Context()))
		}
		began := time.Now()
		r := w.restore(t, snap)
		took := time.Since(began)
		require.NoError(t, r.Undo(t.Context()))
		for i := range 4 {
			var r backup.Restored
			crashed, err := hit(i, took, func() (err error) {
				r, err = w.store.Restore(t.Context(), snap.ID, w.db)
				return err
			})
			if crashed {
				crashes++
			}
			switch live := w.state(t); {
			case err == nil:
				require.Equal(t, before, live)
				require.NoError(t, r.Undo(t.Context()))
			case live == before: // swapped whole, and the answer was lost
				require.NotContains(t, w.kinds(t), kindNew)
				w.swapBack(t)
			default:
				w.failed(t, err, changed)
			}
			require.Equal(t, changed, w.state(t), "crash %d of a restore by the %s: %v", i, by, err)
		}
	}
	began := time.Now()
	w.take(t)
	took := time.Since(began)
	for i := range 4 {
		crashed, err := hit(i, took, func() error { _, err := w.store.Take(t.Context(), "x", w.db); return err })
		if crashed {
			crashes++
		}
		require.Equal(t, changed, w.state(t), "crash %d of a backup: %v", i, err)
		if err != nil {
			w.failed(t, err, changed)
			require.LessOrEqual(t, len(w.clones(t)), 1)
		}
	}
	list, err := w.store.List()
	require.NoError(t, err)
	for _, s := range list {
		require.NoError(t, w.store.Verify(t.Context(), s.ID), "every snapshot is whole")
	}
	require.NoError(t, w.db.Tidy(t.Context()))
	require.Empty(t, w.kinds(t))
	t.Logf("%d crashes", crashes)
	require.Positive(t, crashes)
}

// swapBack gives the live name back to what the last restore kept aside.
func (w *world) swapBack(t *testing.T) {
	t.Helper()
	s, err := w.db.begin(t.Context())
	require.NoError(t, err)
	defer s.close()
	live, err := s.find(t.Context(), w.name)
	require.NoError(t, err)
	for _, name := range w.databases(t) {
		if kindOf(w.name, name) == kindOld {
			old, err := s.find(t.Context(), name)
			require.NoError(t, err)
			require.NoError(t, s.undo(t.Context(), &restored{d: w.db, fresh: live.oid, old: old.oid}))
		}
	}
}
