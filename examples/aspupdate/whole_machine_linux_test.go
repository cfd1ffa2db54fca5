package main

import (
	"bytes"
	"context"
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
)

// TestAWholeMachineIsPutBack copies a machine in the middle of an update, as a snapshot of a
// virtual machine does: state, archive, backups, application and the database server's
// files in one moment. The update ends and users go on; then all of it is put back. Since it
// fits together it is no stale state: recovery ends the update that is pending in it, and
// loses none of its rows.
func TestAWholeMachineIsPutBack(t *testing.T) {
	t.Parallel()
	s := newRealSite(t)
	server := postmaster(t, s)
	s.publish(t, "7.13.100", both("ALTER TABLE entry ADD COLUMN city text NOT NULL DEFAULT 'Tula'; SELECT pg_sleep(2);"))
	for i := range s.users {
		require.Eventually(t, func() bool { return s.users[i].count() > 20 }, 20*time.Second, 10*time.Millisecond)
	}

	update := exec.Command(program, "update", "--config", s.configFile())
	update.Env = append(os.Environ(), s.env()...)
	var out bytes.Buffer
	update.Stdout, update.Stderr = &out, &out
	require.NoError(t, update.Start())
	ended := make(chan error, 1)
	go func() { ended <- update.Wait() }()
	marker := filepath.Join(s.site, bundle[1].database+".migrating")
	require.Eventually(t, func() bool { _, err := os.Stat(marker); return err == nil }, 60*time.Second, 5*time.Millisecond)
	var before []int // users are out
	for _, u := range s.users {
		before = append(before, u.count())
	}
	machine := map[string]string{s.dir: "", s.site: "", s.cluster.Data: ""}
	running := append(descendants(t, update.Process.Pid), descendants(t, server.pid)...)
	for _, pid := range running {
		to(pid, syscall.SIGSTOP)
	}
	for dir := range machine {
		machine[dir] = filepath.Join(t.TempDir(), "copy")
		assertRun(t, "cp", "-a", dir, machine[dir])
	}
	for _, pid := range running {
		to(pid, syscall.SIGCONT)
	}
	require.FileExists(t, filepath.Join(machine[s.site], filepath.Base(marker)), "it is of the middle of an update")
	require.NoError(t, <-ended, out.String())
	s.inOrder(t, "7.13.100")

	server.stop(t)
	for dir, copied := range machine {
		require.NoError(t, os.RemoveAll(dir))
		assertRun(t, "cp", "-a", copied, dir)
	}
	server.start(t)
	for i, b := range bundle {
		s.users[i].since(t, s.cluster.Admin(b.database))
		require.GreaterOrEqual(t, s.users[i].count(), before[i], "the copy has all that was acknowledged before it")
		before[i] = s.users[i].count()
	}
	code, stdout, stderr := s.run(t, "status")
	require.Equal(t, exitInterrupted, code, stdout+stderr)
	code, stdout, stderr = s.run(t, "recover")
	require.Zero(t, code, stdout+stderr)
	for i := range s.users {
		require.GreaterOrEqual(t, s.users[i].count(), before[i])
	}
	s.inOrder(t, installed)
	for _, b := range bundle {
		s.sql(t, b.database, "ALTER TABLE entry ADD COLUMN city int") // there was none in the snapshot
	}
	code, stdout, stderr = s.run(t, "status")
	require.Zero(t, code, stdout+stderr)
	require.Contains(t, stdout, "7.13.100", "what was pending is in the history")
}

func assertRun(t *testing.T, name string, args ...string) {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// A databaseServer is the PostgreSQL server of a site, which can start again with other files.
type databaseServer struct {
	site  *realSite
	pid   int
	start func(t *testing.T)
}

func postmaster(t *testing.T, s *realSite) *databaseServer {
	t.Helper()
	d := &databaseServer{site: s}
	text, err := os.ReadFile(filepath.Join(s.cluster.Data, "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	d.pid, err = strconv.Atoi(first)
	require.NoError(t, err)
	line, err := os.ReadFile("/proc/" + first + "/cmdline")
	require.NoError(t, err)
	argv := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
	owner, err := os.Stat(s.cluster.Data)
	require.NoError(t, err)
	as := owner.Sys().(*syscall.Stat_t)
	d.start = func(t *testing.T) {
		t.Helper()
		if err := os.Remove(filepath.Join(s.cluster.Data, "postmaster.pid")); err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
		server := exec.Command(argv[0], argv[1:]...)
		server.Dir = filepath.Dir(s.cluster.Data)
		if os.Getuid() == 0 {
			server.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: as.Uid, Gid: as.Gid}}
		}
		require.NoError(t, server.Start())
		d.pid = server.Process.Pid
		t.Cleanup(func() {
			_ = server.Process.Signal(syscall.SIGQUIT)
			_ = server.Wait()
		})
		require.Eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			conn, err := pgx.Connect(ctx, s.cluster.Admin("postgres"))
			return err == nil && conn.Close(ctx) == nil
		}, 60*time.Second, 50*time.Millisecond)
	}
	return d
}

// stop ends it at once, as a power cut.
func (d *databaseServer) stop(t *testing.T) {
	t.Helper()
	to(d.pid, syscall.SIGQUIT)
	require.Eventually(t, func() bool { // the server itself removes this file last
		_, err := os.Stat(filepath.Join(d.site.cluster.Data, "postmaster.pid"))
		return os.IsNotExist(err)
	}, 60*time.Second, 20*time.Millisecond)
}
