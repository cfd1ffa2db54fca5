package postgres

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/aspupdate/aspupdate/backup"
	"github.com/aspupdate/aspupdate/internal/durable"
	"github.com/aspupdate/aspupdate/internal/realtest"
)

// On a disk that is full, or would be, the backup is made without a clone.
func TestFullDiskPreventsOnlyTheClone(t *testing.T) {
	t.Parallel()
	for name, local := range map[string]bool{"seen from here": true, "not seen": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			space := "small " + w.name
			w.tablespace(t, space, "24m")
			w.admin(t, "postgres", "ALTER DATABASE "+ident(w.name)+" SET TABLESPACE "+ident(space))
			say := "are needed"
			if !local {
				w.db.URI = strings.Replace(w.db.URI, "127.0.0.1", "0.0.0.0", 1) // as if it were elsewhere
				say = "No space left on device"
			}
			needs, err := w.db.Needs(t.Context())
			require.NoError(t, err)
			require.Equal(t, local, needs[1].Path != "")
			w.admin(t, w.name, "CREATE TABLE filler AS SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 15000) g")
			before := w.state(t)
			user := w.connect(t, w.c.Admin(w.name))
			_, err = w.store.Take(t.Context(), "x", w.db)
			require.ErrorIs(t, err, backup.ErrBusy, "users could connect")
			closeConn(user)
			require.NoError(t, w.db.Close(t.Context())) // waits until it is gone
			notes := ""
			w.db.Observe = func(e backup.Event) {
				if e.Kind == backup.EventWarning {
					notes += e.Text
				}
			}
			snap := w.take(t)
			f, err := readFacts(snap.Meta)
			require.NoError(t, err)
			require.Contains(t, f.NoClone, say)
			require.Equal(t, w.name+": no clone: "+f.NoClone, notes)
			require.Empty(t, w.kinds(t))
			require.Equal(t, before, w.state(t))
			if local { // elsewhere a copy without holes in it might fit after all
				_, err = w.store.Prove(t.Context(), snap.ID, w.db)
				require.ErrorIs(t, err, backup.ErrNoSpace)
				require.Empty(t, w.kinds(t))
				_, err = w.store.Restore(t.Context(), snap.ID, w.db)
				w.failed(t, err, before)
				require.ErrorIs(t, err, backup.ErrNoSpace)
				require.ErrorContains(t, err, say)
			}
		})
	}
}

// The disk has room when a proof begins, and is full before it ends, as when something else
// grows: that is named, and nothing of the proof is left behind. The server is the test's
// own: no checkpoint ends while a disk of it is full, and CREATE DATABASE needs them.
func TestDiskFullDuringAProof(t *testing.T) {
	t.Parallel()
	w := newWorldOn(t, realtest.Postgres(t))
	space := "small " + w.name
	dir := w.tablespace(t, space, "160m")
	w.admin(t, "postgres", "ALTER DATABASE "+ident(w.name)+" SET TABLESPACE "+ident(space))
	w.admin(t, w.name, "CREATE TABLE filler AS SELECT g, repeat(md5(g::text), 10) AS t FROM generate_series(1, 15000) g; CREATE INDEX ON filler (t)")
	before := w.state(t)
	snap := w.take(t)
	require.NoError(t, w.db.Tidy(t.Context()))
	data, err := w.store.Path(snap.ID)
	require.NoError(t, err)
	m := respell(t, snap.Meta, func(f *facts) { f.Bytes = 1 }) // there is room
	v, err := durable.VolumeOf(dir)
	require.NoError(t, err)
	const left = 14 << 20 // for the copy of the server's template, and not for the rows
	require.Greater(t, uint64(v.Free), uint64(left))
	filler := filepath.Join(dir, "filler")
	require.NoError(t, os.WriteFile(filler, make([]byte, uint64(v.Free)-left), 0o600))
	err = w.db.Prove(t.Context(), data, m)
	require.NoError(t, os.Remove(filler))
	require.ErrorIs(t, err, backup.ErrNoSpace)
	require.ErrorContains(t, err, "No space left on device")
	require.ErrorContains(t, err, "free some space")
	require.Empty(t, w.kinds(t))
	require.Equal(t, before, w.state(t))
}

// Tables are restored to their own tablespaces.
func TestR15RestoreOfTablespaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	space := `Диск "1"'s ` + w.name
	w.tablespace(t, space, "64m")
	w.admin(t, w.name, "CREATE TABLE far (x int PRIMARY KEY USING INDEX TABLESPACE "+ident(space)+") TABLESPACE "+ident(space)+"; INSERT INTO far VALUES (1)")
	w.bothWays(t, func() { w.update(t) })
}

// Several databases of one tablespace may be restored at a time: their rights on it are in one row, and
// the server refuses one of two changes of it.
func TestR15RestoresAtTheSameTimeShareATablespace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	space := "shared " + w.name
	w.tablespace(t, space, "24m")
	grant := func(role string) string { return "GRANT CREATE ON TABLESPACE " + ident(space) + " TO " + ident(role) }
	var sessions []*session
	for i := range 2 {
		role := fmt.Sprintf("loader %d %s", i, w.name)
		w.admin(t, "postgres", "CREATE ROLE "+ident(role))
		t.Cleanup(func() { w.admin(t, "postgres", "DROP OWNED BY "+ident(role)+"; DROP ROLE "+ident(role)) })
		s := &session{Conn: w.connect(t, w.c.Admin("postgres")), d: w.db, name: w.name}
		t.Cleanup(func() { closeConn(s.Conn) })
		sessions = append(sessions, s)
	}
	first, err := sessions[0].Begin(t.Context())
	require.NoError(t, err)
	_, err = first.Exec(t.Context(), grant("loader 0 "+w.name))
	require.NoError(t, err)
	done, pid := make(chan error, 1), sessions[1].PgConn().PID()
	go func() { done <- sessions[1].together(t.Context(), grant("loader 1 "+w.name)) }()
	watcher := w.connect(t, w.c.Admin("postgres"))
	defer closeConn(watcher)
	require.Eventually(t, func() bool {
		var waits bool
		err := watcher.QueryRow(t.Context(), "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", pid).Scan(&waits)
		return err == nil && waits
	}, time.Minute, 10*time.Millisecond, "it waits for the row")
	require.NoError(t, first.Commit(t.Context()))
	require.NoError(t, <-done)
}

// tablespace creates one on a small disk of its own.
func (w *world) tablespace(t *testing.T, name, size string) (dir string) {
	t.Helper()
	dir = smallDisk(t, size)
	fi, err := os.Stat(filepath.Dir(w.c.Data))
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755)) // the mounted directory
	st := fi.Sys().(*syscall.Stat_t)
	require.NoError(t, os.Chown(dir, int(st.Uid), int(st.Gid)))
	w.admin(t, "postgres", fmt.Sprintf("CREATE TABLESPACE %s LOCATION %s", ident(name), literal(dir)))
	t.Cleanup(func() {
		w.dropAll(t)
		w.admin(t, "postgres", "DROP TABLESPACE "+ident(name))
	})
	return dir
}

// smallDisk mounts a small disk, which other accounts can enter.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := realtest.SharedDir(t)
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "aspupdate-test", dir).CombinedOutput(); err != nil {
		realtest.Skip(t, "this user may not mount a small disk: %v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", dir).Run() })
	return dir
}
